<?php
// Does under php what responder.c does under libfcgi.
function answer(string $what): void
{
    header('Content-Type: text/plain');
    switch ($what) {
        case 'echo':
            header('Content-Type: application/octet-stream');
            header('X-Method: ' . $_SERVER['REQUEST_METHOD']);
            header('X-Length: ' . ($_SERVER['CONTENT_LENGTH'] ?? '(none)'));
            readfile('php://input');
            return;
        case 'env':
            foreach ($_SERVER as $name => $value) {
                if (is_string($value)) {
                    echo "$name=$value\n";
                }
            }
            return;
        case 'long':
            foreach (['A', 'B', 'C', 'D'] as $name) {
                header("X-$name: " . str_repeat('x', 15000));
            }
            echo "long\n";
            return;
        case 'stream':
            for ($n = 1; $n <= 5; $n++) {
                echo "line $n\n";
                flush();
                for (; !file_exists($_SERVER['QUERY_STRING'] . "/$n"); clearstatcache()) {
                    usleep(20000);
                }
            }
            return;
        case '304':
            header('ETag: "abc"');
            http_response_code(304);
            return;
        case 'stderr':
            for ($n = 0; $n < 1024; $n++) {
                error_log(str_repeat('e', 1024), 4);
            }
            echo "hello\n";
            return;
        case 'die':
            posix_kill(getmypid(), 9);
            return;
        case 'cut':
            echo "the first half\n";
            flush();
            posix_kill(getmypid(), 9);
            return;
        case 'pid':
            echo getmypid(), "\n";
            return;
        default:
            echo "hello\n";
    }
}

while (ob_get_level() > 0) { // what flush() alone does not reach
    ob_end_clean();
}
answer(basename(strtok($_SERVER['REQUEST_URI'], '?')));
