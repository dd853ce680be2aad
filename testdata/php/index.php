<?php
// A front controller, as applications with pretty URLs have one.
header('Content-Type: text/plain');
foreach (['REQUEST_URI', 'SCRIPT_NAME', 'SCRIPT_FILENAME', 'PHP_SELF', 'PATH_INFO', 'QUERY_STRING', 'REDIRECT_STATUS'] as $name) {
    echo $name, ' ', $_SERVER[$name] ?? '(none)', "\n";
}
