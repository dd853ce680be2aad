package cgi

import "gatehouse/process"

// LogLines is the writer for what an application says about itself, its standard
// error or FCGI_STDERR: cut into lines, bounded in number and length, with the tail
// kept for a report (A100). The zero value keeps the tail only.
type LogLines = process.Stderr

// Printable returns s with what could forge a log line or an escape sequence
// written as \xNN.
func Printable(s string) string { return process.Printable(s) }

// BodyError says what it means for a request that its body could not be read: of
// Kind BodyFailed, BodyTimeout or Internal.
func BodyError(err error) *Error { return AsError(bodyError(err)) }
