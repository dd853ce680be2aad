package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
	"gatehouse/process"
	"gatehouse/scgi"
)

// callID is the request's id: one request on a connection.
const callID = 1

// make connects, sends the request and hands the response to show.
func (k *call) make(ctx context.Context, show func(*cgi.Response) error) error {
	conn, err := k.dial(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	sent := make(chan error, 1)
	go func() { sent <- k.send(conn) }() // ends at the write deadline
	in := k.incoming(conn)
	resp, err := cgi.ReadResponse(in, cgi.ParseLimits{}, func(int, cgi.Header) {})
	if err == nil {
		k.step = "reading the response"
		err = show(resp)
	}
	if err == nil { // what follows a body of announced length
		_, err = io.Copy(io.Discard, in)
	}
	_ = conn.SetWriteDeadline(time.Unix(0, 1)) // nobody waits for the rest of the request
	if errors.Is(<-sent, os.ErrDeadlineExceeded) && k.first == 0 {
		k.step = "sending the request, which it does not read"
	}
	_ = conn.Close()
	return err
}

// dial connects, and says in one sentence why it cannot.
func (k *call) dial(ctx context.Context) (net.Conn, error) {
	k.begun, k.step = time.Now(), "connecting"
	d := net.Dialer{Deadline: k.begun.Add(k.limit)}
	conn, err := d.DialContext(ctx, k.network, k.address)
	unix := k.network == "unix"
	switch {
	case err == nil:
		k.connected = time.Since(k.begun)
		k.step = "waiting for its first byte"
		return conn, conn.SetDeadline(k.begun.Add(k.limit))
	case unix && errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("there is no such socket")
	case unix && !isSocket(k.address):
		return nil, errors.New("the file is not a socket")
	case unix && errors.Is(err, syscall.ECONNREFUSED):
		return nil, errors.New("connection refused: nothing listens on the socket; a server that has died may have left it")
	case unix && errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("user %d may not connect to the socket: permission denied", os.Geteuid())
	case unix && errors.Is(err, syscall.EAGAIN):
		return nil, errors.New("its queue of connections is full: it accepts none")
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, errors.New("connection refused: nothing listens there")
	}
	return nil, err
}

func isSocket(name string) bool {
	st, err := os.Stat(name)
	return err != nil || st.Mode().Type() == fs.ModeSocket
}

// send sends the request: its failure shows in what is read.
func (k *call) send(w io.Writer) error {
	if k.scgi {
		b, err := scgi.AppendRequest(nil, k.env.Strings(), int64(len(k.body)))
		if err != nil {
			return err
		}
		_, err = w.Write(append(b, k.body...))
		return err
	}
	b := fastcgi.AppendBeginRequest(nil, callID, k.role, false)
	b = fastcgi.AppendParams(b, callID, k.env.Strings())
	if err := k.put(w, b); err != nil {
		return err
	}
	if err := k.stream(w, fastcgi.TypeStdin, bytes.NewReader(k.body)); err != nil || k.data == "" {
		return err
	}
	f, err := os.Open(k.data)
	if err != nil {
		return err
	}
	defer f.Close()
	var size int64
	if _, err := fmt.Sscan(k.env.Get("FCGI_DATA_LENGTH"), &size); err != nil {
		return err
	}
	return k.stream(w, fastcgi.TypeData, io.LimitReader(f, size)) // no more than was told (B47)
}

// stream sends a whole stream, a record at a time.
func (k *call) stream(w io.Writer, t fastcgi.Type, r io.Reader) error {
	buf := make([]byte, 65528)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if err := k.put(w, fastcgi.AppendRecord(nil, t, callID, buf[:n])); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return k.put(w, fastcgi.AppendStreamEnd(nil, t, callID))
		}
		if err != nil {
			return err
		}
	}
}

// put sends records, and shows them.
func (k *call) put(w io.Writer, records []byte) error {
	if k.verbose {
		for r := fastcgi.NewReader(bytes.NewReader(records)); ; {
			h, err := r.Next()
			if err != nil {
				break
			}
			k.record("sent", h)
		}
	}
	_, err := w.Write(records)
	return err
}

func (k *call) record(what string, h fastcgi.Header) {
	fmt.Fprintf(k.errw, "%-8s %v id=%d content=%d padding=%d\n", what, h.Type, h.ID, h.ContentLength, h.PaddingLength)
}

// incoming is what the application prints.
func (k *call) incoming(conn net.Conn) io.Reader {
	src := &arriving{k: k, r: conn}
	if k.scgi {
		return scgiOutput{src}
	}
	return &output{k: k, src: src, r: fastcgi.NewReader(src)}
}

// arriving is a connection that notes when its first bytes come, and which.
type arriving struct {
	k    *call
	r    io.Reader
	head []byte
}

func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if n > 0 && a.k.first == 0 {
		a.k.first, a.k.step = time.Since(a.k.begun), "reading the header"
	}
	if room := 80 - len(a.head); room > 0 {
		a.head = append(a.head, p[:min(room, n)]...)
	}
	return n, err
}

// scgiOutput ends as the connection does.
type scgiOutput struct{ src *arriving }

func (s scgiOutput) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	switch {
	case err == io.EOF && len(s.src.head) == 0:
		err = errNoAnswer
	case errors.Is(err, syscall.ECONNRESET):
		err = fmt.Errorf("%w by the other side after %s", syscall.ECONNRESET, round(time.Since(s.src.k.begun)))
	}
	return n, err
}

var errNoAnswer = errors.New("it closed the connection without an answer (does it accept this client's address?)")

// output is the STDOUT stream up to END_REQUEST. The rest it deals with as it comes.
type output struct {
	k    *call
	src  *arriving
	r    *fastcgi.Reader
	left bool // in a record of STDOUT
	seen int  // records
}

func (o *output) Read(p []byte) (int, error) {
	for {
		if o.left {
			n, err := o.r.Read(p)
			if err != nil && err != io.EOF {
				return n, o.failure(err)
			}
			if o.left = err == nil; n > 0 {
				return n, nil
			}
			continue
		}
		if o.k.ended {
			return 0, io.EOF
		}
		if err := o.next(); err != nil {
			return 0, err
		}
	}
}

// next takes one record.
func (o *output) next() error {
	h, err := o.r.Next()
	if err != nil {
		return o.failure(err)
	}
	o.seen++
	if o.k.verbose {
		o.k.record("received", h)
	}
	if h.Type != fastcgi.TypeStderr { // which php ends without an end of line
		o.k.appStderr.flush()
	}
	switch {
	case h.Type >= fastcgi.TypeGetValues, h.ID != callID:
		fmt.Fprintf(o.k.errw, "gatehouse: ignored: a record %v of id %d, which was not asked for\n", h.Type, h.ID)
	case h.Type == fastcgi.TypeStdout:
		o.left = true
	case h.Type == fastcgi.TypeStderr:
		if _, err := io.Copy(o.k.appStderr, o.r); err != nil {
			return o.failure(err)
		}
	case h.Type == fastcgi.TypeEndRequest:
		return o.end()
	default:
		fmt.Fprintf(o.k.errw, "gatehouse: ignored: a record %v, which no application sends\n", h.Type)
	}
	return nil
}

// end takes END_REQUEST (FastCGI 1.0 5.5).
func (o *output) end() error {
	content, err := content(o.r)
	if err != nil {
		return o.failure(err)
	}
	if o.k.appStatus, o.k.protocolStatus, err = fastcgi.ParseEndRequest(content); err != nil {
		return err
	}
	o.k.ended = true
	switch o.k.protocolStatus {
	case fastcgi.StatusRequestComplete:
		return nil
	case fastcgi.StatusOverloaded:
		return fmt.Errorf("it refused the request: %v", o.k.protocolStatus)
	case fastcgi.StatusUnknownRole:
		return fmt.Errorf("it refused the role %v: %v", o.k.role, o.k.protocolStatus)
	}
	return fmt.Errorf("it ended the request with %v", o.k.protocolStatus)
}

// content reads a short record.
func content(r io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, fastcgi.MaxContent))
}

// failure says what the end of the connection, or of the protocol, means.
func (o *output) failure(err error) error {
	var pe *fastcgi.ProtocolError
	switch {
	case errors.As(err, &pe) && o.seen == 0:
		return fmt.Errorf("this is not FastCGI: it begins with %q", o.src.head)
	case errors.As(err, &pe):
		return fmt.Errorf("bad record after %d good ones: %s", o.seen, pe.Reason)
	case len(o.src.head) == 0 && (err == io.EOF || errors.Is(err, syscall.ECONNRESET)):
		return errNoAnswer
	case o.seen == 0 && err == io.ErrUnexpectedEOF:
		return fmt.Errorf("this is not FastCGI: all it sent was %q", o.src.head)
	case err == io.EOF:
		return errors.New("it closed the connection before END_REQUEST")
	case err == io.ErrUnexpectedEOF:
		return errors.New("it closed the connection in the middle of a record")
	case errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w by the other side before END_REQUEST", syscall.ECONNRESET)
	}
	return err
}

// ping sees whether the responder answers, and says so in one line.
func (k *call) ping(ctx context.Context) error {
	var says string
	var err error
	if k.env.Len() == 0 {
		says, err = k.getValues(ctx)
	} else {
		says, err = k.pingRequest(ctx)
	}
	k.appStderr.flush()
	if err != nil {
		return k.explain(ctx, err)
	}
	_, err = fmt.Fprintf(k.out, "%s: %s, after %s\n", k.what, says, round(time.Since(k.begun)))
	return err
}

// pingRequest is well when the answer is below 400.
func (k *call) pingRequest(ctx context.Context) (says string, err error) {
	var body limitedText
	var status int
	err = k.make(ctx, func(resp *cgi.Response) error {
		status = resp.Status
		_, err := io.Copy(&body, resp.Body)
		return err
	})
	if err != nil {
		return "", err
	}
	says = fmt.Sprintf("%d %s", status, http.StatusText(status))
	if text := strings.TrimSpace(string(body)); text != "" && len(text) < 80 {
		says += fmt.Sprintf(", %q", text)
	}
	if status >= 400 {
		return "", errors.New(says)
	}
	return says, nil
}

// limitedText keeps the first bytes of what is written.
type limitedText []byte

func (t *limitedText) Write(p []byte) (int, error) {
	*t = append(*t, p[:min(len(p), 128-len(*t))]...)
	return len(p), nil
}

// getValues asks what the application can do (FastCGI 1.0 4.1), which it answers
// without a request.
func (k *call) getValues(ctx context.Context) (says string, err error) {
	conn, err := k.dial(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	ask := fastcgi.AppendGetValues(nil, fastcgi.MaxConns, fastcgi.MaxReqs, fastcgi.MpxsConns)
	ask = fastcgi.AppendGetValues(ask) // libfcgi takes the names for a stream, and waits for its end
	if err := k.put(conn, ask); err != nil {
		return "", err
	}
	src := &arriving{k: k, r: conn}
	o := &output{k: k, src: src, r: fastcgi.NewReader(src)}
	h, err := o.r.Next()
	if err != nil {
		return "", o.failure(err)
	}
	if k.verbose {
		k.record("received", h)
	}
	b, err := content(o.r)
	switch {
	case err != nil:
		return "", o.failure(err)
	case h.Type == fastcgi.TypeUnknownType:
		return "it answers, but not to FCGI_GET_VALUES", nil
	case h.Type != fastcgi.TypeGetValuesResult:
		return "", fmt.Errorf("it answers FCGI_GET_VALUES with %v", h.Type)
	}
	says = "it answers"
	for len(b) > 0 {
		name, value, rest, err := fastcgi.NextPair(b)
		if err != nil {
			return "", err
		}
		says += process.Printable(fmt.Sprintf(" %s=%s", name, value))
		b = rest
	}
	return says, nil
}
