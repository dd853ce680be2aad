package cgi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"

	"gatehouse/cgi"
)

// TestKind is the table of statuses (A97).
func TestKind(t *testing.T) {
	for _, row := range []struct {
		kind   cgi.Kind
		name   string
		status int
	}{
		{cgi.Internal, "internal", 500}, {cgi.BadRequest, "bad-request", 400}, {cgi.NotFound, "not-found", 404},
		{cgi.Forbidden, "forbidden", 403}, {cgi.BodyTooLarge, "body-too-large", 413}, {cgi.BodyFailed, "body-failed", 400},
		{cgi.BodyTimeout, "body-timeout", 408}, {cgi.TooManyHeader, "environment-too-large", 431}, {cgi.Busy, "busy", 503},
		{cgi.StartFailed, "start-failed", 500}, {cgi.NoOutput, "no-output", 502}, {cgi.BadOutput, "bad-output", 502},
		{cgi.Timeout, "timeout", 504}, {cgi.Truncated, "truncated", 502}, {cgi.ClientGone, "client-gone", 499},
		{cgi.Kind(-1), "kind -1", 500}, {cgi.Kind(1000), "kind 1000", 500},
	} {
		if row.kind.String() != row.name || row.kind.Status() != row.status {
			t.Errorf("%q, %d; want %q, %d", row.kind.String(), row.kind.Status(), row.name, row.status)
		}
		if got := (&cgi.Error{Kind: row.kind}).StatusCode(); got != row.status {
			t.Errorf("%s: status %d, want %d", row.name, got, row.status)
		}
		if got := (&cgi.Error{Kind: row.kind, Status: 418}).StatusCode(); got != 418 {
			t.Errorf("%s: status %d, want 418", row.name, got)
		}
	}
}

func TestAsError(t *testing.T) {
	own := &cgi.Error{Kind: cgi.Busy, Reason: "full", Script: "/s", Err: io.EOF}
	for _, row := range []struct {
		err    error
		kind   cgi.Kind
		reason string
		text   string
	}{
		{own, cgi.Busy, "full", "cgi: /s: full"},
		{fmt.Errorf("wrapped: %w", own), cgi.Busy, "full", "cgi: /s: full"},
		{errors.New("odd"), cgi.Internal, "odd", "cgi: odd"},
		{fmt.Errorf("x: %w", context.Canceled), cgi.ClientGone, "the client has gone away", "cgi: the client has gone away"},
		{context.DeadlineExceeded, cgi.Timeout, "time limit", "cgi: time limit"},
	} {
		e := cgi.AsError(row.err)
		if e.Kind != row.kind || e.Reason != row.reason || e.Error() != row.text {
			t.Errorf("%v: %v, %q, %q; want %v, %q, %q", row.err, e.Kind, e.Reason, e.Error(), row.kind, row.reason, row.text)
		}
	}
	if cgi.AsError(nil) != nil {
		t.Error("no error became one")
	}
	if !errors.Is(own, io.EOF) {
		t.Error("the cause is not found")
	}
}

// TestErrorResponse: a visitor sees the status and not the reason.
func TestErrorResponse(t *testing.T) {
	for _, row := range []struct {
		e     *cgi.Error
		body  string
		retry string
	}{
		{&cgi.Error{Kind: cgi.NoOutput, Reason: "secret"}, "502 Bad Gateway\n", ""},
		{&cgi.Error{Kind: cgi.ClientGone}, "499 Error\n", ""},
		{&cgi.Error{Kind: cgi.Busy}, "503 Service Unavailable\n", "1"},
		{&cgi.Error{Kind: cgi.Busy, RetryAfter: 1500 * time.Millisecond}, "503 Service Unavailable\n", "2"},
	} {
		resp := cgi.PlainError(row.e)
		body, _ := io.ReadAll(resp.Body)
		if string(body) != row.body || resp.ContentLength != int64(len(body)) || resp.Status != row.e.StatusCode() || resp.Header.Get("Retry-After") != row.retry {
			t.Errorf("%+v: %q, %+v; want %q, Retry-After %q", row.e, body, resp, row.body, row.retry)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("header %v", resp.Header)
		}
	}
}

func TestHeader(t *testing.T) {
	var h cgi.Header
	h.Add("A", "1")
	h.Add("B", "2")
	h.Add("a", "3")
	if v, ok := h.Lookup("b"); v != "2" || !ok || h.Get("A") != "1" || h.Get("C") != "" {
		t.Errorf("%v", h)
	}
	if _, ok := h.Lookup("C"); ok {
		t.Error("found what is not there")
	}
	h.Set("a", "4")
	if want := (cgi.Header{{"A", "4"}, {"B", "2"}}); !reflect.DeepEqual(h, want) {
		t.Errorf("after Set: %v, want %v", h, want)
	}
	h.Set("C", "5")
	h.Del("b")
	if want := (cgi.Header{{"A", "4"}, {"C", "5"}}); !reflect.DeepEqual(h, want) {
		t.Errorf("after Del: %v, want %v", h, want)
	}
}

func TestAppendHeader(t *testing.T) {
	for _, row := range []struct {
		name string
		resp *cgi.Response
		want string
	}{
		{"usual", &cgi.Response{Status: 200, Header: ctHeader, ContentLength: 4}, "Status: 200 OK\r\nContent-Type: a/b\r\nContent-Length: 4\r\n\r\n"},
		{"its own phrase", &cgi.Response{Status: 404, Reason: "Gone Fishing", ContentLength: -1}, "Status: 404 Gone Fishing\r\n\r\n"},
		{"no phrase known", &cgi.Response{Status: 299, ContentLength: 0}, "Status: 299 \r\nContent-Length: 0\r\n\r\n"},
		{"phrase with a line end", &cgi.Response{Status: 200, Reason: "a\r\nX: y", ContentLength: -1}, "Status: 200 OK\r\n\r\n"},
		{"fields that are none", &cgi.Response{Status: 200, ContentLength: -1,
			Header: cgi.Header{{"A b", "c"}, {"", "c"}, {"X", "a\nb"}, {"X", "a\x00"}, {"X", ""}, {"X:", "y"}, {"Good", "y\te\xe9s"}}},
			"Status: 200 OK\r\nGood: y\te\xe9s\r\n\r\n"},
	} {
		if got := string(cgi.AppendHeader([]byte("before "), row.resp)); got != "before "+row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}
