<?php
// Answers with the field and the file of a form, and keeps the file where it is asked to.
header('Content-Type: text/plain');
$file = $_FILES['file'];
echo 'text: ', $_POST['text'], "\n", 'file: ', $file['name'], ' ', $file['size'], ' ', md5_file($file['tmp_name']), "\n";
