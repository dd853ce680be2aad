package fastcgi

import (
	"encoding/binary"
	"fmt"
)

// Every record begins with a header of 8 bytes (section 3.3):
//
//	version=1 | type | request id (2, big endian) | content length (2) | padding length | 0
const (
	HeaderLen  = 8
	MaxContent = 65535 // of one record, as received

	// maxSent is the longest content that is sent: php-cgi closes the
	// connection where content and padding together exceed it (B25).
	maxSent = 65528

	version  = 1
	keepConn = 1 // flag of BEGIN_REQUEST
)

// Header is the head of a record.
type Header struct {
	Type                         Type
	ID                           uint16
	ContentLength, PaddingLength int
}

// ParseHeader takes the first HeaderLen bytes of b apart. The error is a
// *ProtocolError if the version is not 1 (B01), or if a management record has a
// request id or another record has none (B11). An unknown type is no error, and
// neither is a reserved byte that is not zero.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, &ProtocolError{fmt.Sprintf("record header of %d bytes instead of %d", len(b), HeaderLen)}
	}
	if b[0] != version {
		return Header{}, &ProtocolError{fmt.Sprintf("record of version %d instead of 1", b[0])}
	}
	h := Header{
		Type: Type(b[1]), ID: binary.BigEndian.Uint16(b[2:]),
		ContentLength: int(binary.BigEndian.Uint16(b[4:])), PaddingLength: int(b[6]),
	}
	if h.Type.known() && (h.Type >= TypeGetValues) != (h.ID == 0) {
		return Header{}, &ProtocolError{fmt.Sprintf("%v record with request id %d", h.Type, h.ID)}
	}
	return h, nil
}

// AppendRecordHeader appends a header. It panics where a length does not fit its
// field: a length that was cut would have content taken for records (B04).
func AppendRecordHeader(b []byte, t Type, id uint16, contentLength, paddingLength int) []byte {
	if contentLength < 0 || contentLength > MaxContent || paddingLength < 0 || paddingLength > 255 {
		panic(fmt.Sprintf("fastcgi: record with %d bytes and padding of %d", contentLength, paddingLength))
	}
	return append(b, version, byte(t), byte(id>>8), byte(id),
		byte(contentLength>>8), byte(contentLength), byte(paddingLength), 0)
}

// padding is how many bytes follow n bytes of content, to a multiple of 8 (B05).
func padding(n int) int { return -n & 7 }

var zeros [8]byte

// AppendRecord appends one record, padded with zeros to a multiple of 8 bytes. It
// panics if there are more than 65528 bytes of content (B04, B25).
func AppendRecord(b []byte, t Type, id uint16, content []byte) []byte {
	if len(content) > maxSent {
		panic(fmt.Sprintf("fastcgi: record with %d bytes", len(content)))
	}
	pad := padding(len(content))
	b = AppendRecordHeader(b, t, id, len(content), pad)
	b = append(b, content...)
	return append(b, zeros[:pad]...)
}

// AppendStream appends content as records of a stream, as many as it takes: none
// for no content, because an empty record ends a stream.
func AppendStream(b []byte, t Type, id uint16, content []byte) []byte {
	for len(content) > 0 {
		n := min(len(content), maxSent)
		b = AppendRecord(b, t, id, content[:n])
		content = content[n:]
	}
	return b
}

// AppendStreamEnd appends the empty record that ends a stream (B10).
func AppendStreamEnd(b []byte, t Type, id uint16) []byte {
	return AppendRecordHeader(b, t, id, 0, 0)
}

// AppendBeginRequest appends a BEGIN_REQUEST record (section 5.1).
func AppendBeginRequest(b []byte, id uint16, role Role, keep bool) []byte {
	var flags byte
	if keep {
		flags = keepConn
	}
	b = AppendRecordHeader(b, TypeBeginRequest, id, 8, 0)
	return append(b, byte(role>>8), byte(role), flags, 0, 0, 0, 0, 0)
}

// AppendAbortRequest appends an ABORT_REQUEST record (section 5.4).
func AppendAbortRequest(b []byte, id uint16) []byte {
	return AppendRecordHeader(b, TypeAbortRequest, id, 0, 0)
}

// AppendEndRequest appends an END_REQUEST record (section 5.5).
func AppendEndRequest(b []byte, id uint16, appStatus uint32, s ProtocolStatus) []byte {
	b = AppendRecordHeader(b, TypeEndRequest, id, 8, 0)
	b = binary.BigEndian.AppendUint32(b, appStatus)
	return append(b, byte(s), 0, 0, 0)
}

// AppendUnknownType appends an UNKNOWN_TYPE record, the answer to a management
// record of type t (section 4.2).
func AppendUnknownType(b []byte, t Type) []byte {
	b = AppendRecordHeader(b, TypeUnknownType, 0, 8, 0)
	return append(b, byte(t), 0, 0, 0, 0, 0, 0, 0)
}

// ParseBeginRequest takes the content of a BEGIN_REQUEST record apart. Flags other
// than FCGI_KEEP_CONN are ignored.
func ParseBeginRequest(content []byte) (role Role, keep bool, err error) {
	if len(content) != 8 {
		return 0, false, &ProtocolError{fmt.Sprintf("BEGIN_REQUEST record with %d bytes instead of 8", len(content))}
	}
	return Role(binary.BigEndian.Uint16(content)), content[2]&keepConn != 0, nil
}

// ParseEndRequest takes the content of an END_REQUEST record apart.
func ParseEndRequest(content []byte) (appStatus uint32, s ProtocolStatus, err error) {
	if len(content) != 8 {
		return 0, 0, &ProtocolError{fmt.Sprintf("END_REQUEST record with %d bytes instead of 8", len(content))}
	}
	return binary.BigEndian.Uint32(content), ProtocolStatus(content[4]), nil
}
