package fastcgi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"gatehouse/cgi"
)

// openData opens the file that a Filter is to work on (section 6.4). The figures that
// it is told are those of the file that was opened, not of a name (B47).
func (x *exchange) openData() error {
	name := x.req.Env.Get("PATH_TRANSLATED")
	if name == "" {
		name = x.script
	}
	if name == "" {
		return &cgi.Error{Kind: cgi.Internal, Reason: "the filter has no file: neither PATH_TRANSLATED nor SCRIPT_FILENAME is set"}
	}
	open := x.t.Open
	if open == nil {
		open = os.Open
	}
	f, err := open(name)
	if err != nil {
		return fileError(name, err)
	}
	st, err := f.Stat()
	switch {
	case err != nil:
		err = fileError(name, err)
	case st.IsDir():
		err = &cgi.Error{Kind: cgi.Forbidden, Script: name, Reason: "the filter's file is a folder"}
	case !st.Mode().IsRegular():
		err = &cgi.Error{Kind: cgi.Forbidden, Script: name, Reason: "the filter's file is no regular file"}
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	x.data, x.dataLen, x.dataMod = f, st.Size(), st.ModTime().Unix()
	return nil
}

func fileError(name string, err error) error {
	e := &cgi.Error{Kind: cgi.Internal, Script: name, Reason: fmt.Sprintf("cannot open the filter's file: %v", err), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Kind = cgi.NotFound
	case errors.Is(err, fs.ErrPermission):
		e.Kind = cgi.Forbidden
	}
	return e
}

// dataVariables are the parameters of a Filter alone.
func (x *exchange) dataVariables() []string {
	if x.data == nil {
		return nil
	}
	return []string{
		"FCGI_DATA_LAST_MOD=" + strconv.FormatInt(x.dataMod, 10),
		"FCGI_DATA_LENGTH=" + strconv.FormatInt(x.dataLen, 10),
	}
}

// closeData closes the file. The feeder may be in a read of it, which then fails.
func (x *exchange) closeData() {
	_ = x.data.Close()
}
