package site

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"gatehouse/cgi"
	"gatehouse/internal/config"
)

const (
	// compressFrom is the length of the shortest response that is compressed.
	compressFrom = 512
	// maxEncoders is how many responses are compressed at a time; each takes about a MiB.
	// Further ones are sent as they are.
	maxEncoders = 256
)

// compressed gives the response a coding that the client takes, where it has none and its
// kind and length make that worth while. It is done as the response is sent, and holds
// back nothing: what the application has given so far goes out whenever it gives no more
// for the moment.
func compressed(c *config.Coding, req *cgi.Request, resp *cgi.Response) *cgi.Response {
	if len(c.Compress) > 0 && resp.Status == 304 && !resp.Raw { // as of the response that it stands for
		varies(resp)
	}
	if len(c.Compress) == 0 || !worthwhile(resp) {
		return resp
	}
	resp.Header = slices.Clone(resp.Header)
	varies(resp)
	good := acceptable(req.Env.Get("HTTP_ACCEPT_ENCODING"), c.Compress)
	if len(good) == 0 {
		return resp
	}
	head := req.Method() == "HEAD"
	body := &encodedBody{src: resp.Body}
	if !head && (body.short(resp.ContentLength) || !body.open(good[0])) {
		resp.Body = body.plain()
		return resp
	}
	if !head { // the header of HEAD is as that of GET
		resp.Body = body
	}
	resp.ContentLength = -1
	resp.Header.Add("Content-Encoding", good[0])
	resp.Header.Del("Accept-Ranges") // of the bytes as they were
	if tag := resp.Header.Get("ETag"); strings.HasPrefix(tag, `"`) {
		resp.Header.Set("ETag", "W/"+tag) // no longer the same byte for byte (RFC 9110 section 8.8.1)
	}
	return resp
}

// worthwhile reports whether a response may and should be compressed.
func worthwhile(resp *cgi.Response) bool {
	switch {
	case resp.Raw, resp.Status < 200, resp.Status == 204, resp.Status == 205, resp.Status == 206, resp.Status == 304:
		return false
	case resp.ContentLength >= 0 && resp.ContentLength < compressFrom:
		return false
	}
	kind := ""
	for _, f := range resp.Header {
		switch strings.ToLower(f.Name) {
		case "content-encoding", "content-range", "content-md5", "digest", "content-digest", "repr-digest":
			return false
		case "cache-control":
			if strings.Contains(strings.ToLower(f.Value), "no-transform") { // RFC 9111 section 5.2.2.6
				return false
			}
		case "content-type":
			kind = f.Value
		}
	}
	return compressible(kind)
}

// compressible goes by the media type.
func compressible(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.ToLower(strings.Trim(kind, " \t"))
	switch {
	case strings.HasPrefix(kind, "text/"), strings.HasSuffix(kind, "+json"), strings.HasSuffix(kind, "+xml"):
		return true
	}
	switch kind {
	case "application/json", "application/javascript", "application/xml", "application/wasm", "application/x-ndjson",
		"application/x-javascript", "application/vnd.ms-fontobject", "font/ttf", "font/otf", "image/bmp", "image/x-icon":
		return true
	}
	return false
}

// encoder is a *gzip.Writer or a *zstd.Encoder.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// encoders are those that nobody uses; room is what there may be in use.
var (
	encoders = map[string]*sync.Pool{
		"gzip": {New: func() any {
			w, _ := gzip.NewWriterLevel(nil, 5) // a level that there is
			return w
		}},
		"zstd": {New: func() any { // the window is one that every client has to take (RFC 9659)
			w, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
				zstd.WithWindowSize(256<<10), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithZeroFrames(true))
			return w
		}},
	}
	encoderRoom = make(chan struct{}, maxEncoders)
)

// encodedBody is a body in another coding. It is pulled like any other: between two reads it
// holds what one read of the source becomes.
type encodedBody struct {
	src   io.ReadCloser
	begin []byte // of the source, read ahead to know how long it is
	err   error  // what the source said behind that

	coding string
	enc    encoder // nil when it was given back
	in     []byte
	out    bytes.Buffer
	dirty  bool  // something was written since the last flush
	end    error // what Read returns when nothing is left in out
}

// short reports whether the source ends before compressFrom. It waits no longer than a
// front would that has only the header yet.
func (b *encodedBody) short(length int64) bool {
	w, ok := b.src.(cgi.Waiter)
	if length >= 0 || !ok {
		return false
	}
	buf := make([]byte, compressFrom)
	for len(b.begin) < compressFrom && b.err == nil {
		n, err := w.ReadWithin(buf[len(b.begin):], cgi.FlushAfter)
		b.begin, b.err = buf[:len(b.begin)+n], err
	}
	if b.err == cgi.ErrNothingYet {
		b.err = nil
		return false
	}
	return b.err != nil && len(b.begin) < compressFrom
}

// open takes an encoder, if there is one left.
func (b *encodedBody) open(coding string) bool {
	select {
	case encoderRoom <- struct{}{}:
	default:
		return false
	}
	b.coding, b.enc = coding, encoders[coding].Get().(encoder)
	b.enc.Reset(&b.out)
	b.in = make([]byte, 16<<10)
	return true
}

// release gives the encoder back.
func (b *encodedBody) release() {
	if b.enc == nil {
		return
	}
	b.enc.Reset(nil)
	encoders[b.coding].Put(b.enc)
	b.enc, b.in = nil, nil
	<-encoderRoom
}

// plain is the source with what was read of it in front.
func (b *encodedBody) plain() io.ReadCloser {
	if len(b.begin) == 0 && b.err == nil {
		return b.src
	}
	return &begunBody{b}
}

func (b *encodedBody) Read(p []byte) (int, error) { return b.read(p, -1) }

// ReadWithin implements cgi.Waiter.
func (b *encodedBody) ReadWithin(p []byte, d time.Duration) (int, error) { return b.read(p, d) }

// read waits as long as within for the source, for ever when that is negative; but never
// while the encoder still holds something back.
func (b *encodedBody) read(p []byte, within time.Duration) (int, error) {
	w, waits := b.src.(cgi.Waiter)
	for b.out.Len() == 0 {
		if b.end != nil {
			return 0, b.end
		}
		n, err := b.next(func(in []byte) (int, error) {
			switch {
			case !waits, within < 0 && !b.dirty:
				return b.src.Read(in)
			case within < 0:
				return w.ReadWithin(in, cgi.FlushAfter)
			}
			return w.ReadWithin(in, within)
		})
		if n > 0 {
			b.dirty = true
			if _, werr := b.enc.Write(b.in[:n]); werr != nil {
				err = werr
			}
		}
		if err == cgi.ErrNothingYet && !b.dirty {
			return 0, err
		}
		if err != nil {
			b.pause(err)
		}
	}
	n, _ := b.out.Read(p)
	return n, nil
}

// next reads from the source, and before that gives out what was read of it.
func (b *encodedBody) next(from func([]byte) (int, error)) (int, error) {
	if len(b.begin) > 0 {
		n := copy(b.in, b.begin)
		b.begin = b.begin[n:]
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	return from(b.in)
}

// pause has the encoder give out all that it was given. A body that was cut short gets no
// proper end, so that the client can tell (A80).
func (b *encodedBody) pause(err error) {
	b.dirty = false
	if err == io.EOF {
		if cerr := b.enc.Close(); cerr != nil {
			err = cerr
		}
	} else if ferr := b.enc.Flush(); ferr != nil {
		err = ferr
	}
	if err != cgi.ErrNothingYet {
		b.end = err
		b.release()
	}
}

// Close closes the source.
func (b *encodedBody) Close() error {
	b.end = io.ErrClosedPipe
	b.release()
	return b.src.Close()
}

// begunBody is a source of which a part was read, and is sent as it is.
type begunBody struct{ b *encodedBody }

func (s *begunBody) Read(p []byte) (int, error) {
	return s.rest(p, func(p []byte) (int, error) { return s.b.src.Read(p) })
}

// ReadWithin implements cgi.Waiter.
func (s *begunBody) ReadWithin(p []byte, d time.Duration) (int, error) {
	return s.rest(p, func(p []byte) (int, error) { return s.b.src.(cgi.Waiter).ReadWithin(p, d) })
}

func (s *begunBody) rest(p []byte, from func([]byte) (int, error)) (int, error) {
	if len(s.b.begin) > 0 {
		n := copy(p, s.b.begin)
		s.b.begin = s.b.begin[n:]
		return n, nil
	}
	if s.b.err != nil {
		return 0, s.b.err
	}
	return from(p)
}

func (s *begunBody) Close() error { return s.b.src.Close() }
