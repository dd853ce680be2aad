package cgi_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/cgi"
)

// source is a body of a given length whose end and close can be seen.
type source struct {
	r      io.Reader
	end    error // in place of io.EOF
	read   atomic.Int64
	closed chan struct{}
}

func newSource(length int64, end error) *source {
	r := io.LimitReader(rand.NewChaCha8([32]byte{1}), length)
	return &source{r: r, end: end, closed: make(chan struct{})}
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.read.Add(int64(n))
	if err == io.EOF {
		err = s.end
	}
	return n, err
}

func (s *source) Close() error { close(s.closed); return nil }

func (s *source) Respond(context.Context, *cgi.Request) (*cgi.Response, error) {
	return &cgi.Response{Status: 200, ContentLength: -1, Body: s}, nil
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func sumOf(length int64) (sum [32]byte) {
	h := sha256.New()
	_, _ = io.Copy(h, newSource(length, io.EOF).r)
	return [32]byte(h.Sum(nil))
}

func bufferResponse(t *testing.T, b *cgi.Buffer) *cgi.Response {
	t.Helper()
	resp, err := b.Respond(t.Context(), &cgi.Request{})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// A client that reads nothing for a while: the source is read to its end and closed
// all the same, as long as memory and file have room (A104).
func TestBufferFreesTheSource(t *testing.T) {
	for _, row := range []struct {
		name      string
		length    int64
		memory    int
		max       int64
		wantEarly bool
	}{
		{"fits in memory", 200 << 10, 256 << 10, 0, true},
		{"fits in the file", 5 << 20, 128 << 10, 8 << 20, true},
		{"larger than both", 5 << 20, 128 << 10, 1 << 20, false},
		{"no file", 5 << 20, 128 << 10, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newSource(row.length, io.EOF)
				resp := bufferResponse(t, &cgi.Buffer{Next: src, Memory: row.memory, Max: row.max, Dir: os.TempDir()})
				h := sha256.New()
				first := make([]byte, 20<<10)
				for range 2 { // the second read is the one that starts reading ahead
					n, err := resp.Body.Read(first)
					if err != nil {
						t.Fatal(err)
					}
					h.Write(first[:n])
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := isClosed(src.closed); got != row.wantEarly {
					t.Errorf("source closed while the client waits: %v, want %v (%d bytes read)", got, row.wantEarly, src.read.Load())
				}
				if most := int64(row.memory) + row.max + 3*64<<10; src.read.Load() > most+40<<10 {
					t.Errorf("%d bytes read ahead, more than memory and file hold", src.read.Load())
				}
				if _, err := io.Copy(h, resp.Body); err != nil {
					t.Fatal(err)
				}
				if [32]byte(h.Sum(nil)) != sumOf(row.length) {
					t.Error("the bytes differ")
				}
				if err := resp.Close(); err != nil {
					t.Fatal(err)
				}
				if !isClosed(src.closed) {
					t.Error("the source is not closed at the end")
				}
			})
		})
	}
}

// The error at the end of the source comes after all bytes before it.
func TestBufferPassesTheError(t *testing.T) {
	cut := errors.New("cut")
	src := newSource(300<<10, cut)
	resp := bufferResponse(t, &cgi.Buffer{Next: src})
	n, err := io.Copy(io.Discard, resp.Body)
	if n != 300<<10 || !errors.Is(err, cut) {
		t.Errorf("got %d bytes and %v, want %d and %v", n, err, 300<<10, cut)
	}
	_ = resp.Close()
}

// Closing early ends the source: its context is cancelled, and Close waits for it.
func TestBufferCloseEarly(t *testing.T) {
	for _, reads := range []int{0, 1, 5} {
		src := newSource(50<<20, io.EOF)
		var ctxDone <-chan struct{}
		next := cgi.ResponderFunc(func(ctx context.Context, r *cgi.Request) (*cgi.Response, error) {
			ctxDone = ctx.Done()
			return src.Respond(ctx, r)
		})
		resp := bufferResponse(t, &cgi.Buffer{Next: next, Memory: 64 << 10})
		for range reads {
			if _, err := resp.Body.Read(make([]byte, 32<<10)); err != nil {
				t.Fatal(err)
			}
		}
		_ = resp.Close()
		if !isClosed(src.closed) {
			t.Errorf("after %d reads: the source is not closed", reads)
		}
		select {
		case <-ctxDone:
		default:
			t.Errorf("after %d reads: the context is not done", reads)
		}
	}
}
