package fastcgi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// A name-value pair (section 3.4) is the length of the name, the length of the
// value, the name, the value. A length up to 127 is one byte; any length may be
// four, big endian, with the highest bit set. Pairs follow each other without
// regard to the records that carry them.

// AppendPair appends one pair, its lengths in the shortest form.
func AppendPair(b []byte, name, value string) []byte {
	b = appendLength(b, len(name))
	b = appendLength(b, len(value))
	b = append(b, name...)
	return append(b, value...)
}

func appendLength(b []byte, n int) []byte {
	if n <= 127 {
		return append(b, byte(n))
	}
	if n > math.MaxInt32 {
		panic(fmt.Sprintf("fastcgi: name or value of %d bytes", n)) // B04
	}
	return binary.BigEndian.AppendUint32(b, uint32(n)|1<<31)
}

// lengthLen is how many bytes the length n takes.
func lengthLen(n int) int {
	if n <= 127 {
		return 1
	}
	return 4
}

// AppendParams appends vars, which are "NAME=value", as a whole PARAMS stream with
// its end. A pair is never split over records if it fits into one: php-cgi takes
// each record for itself (B25). One of more than 65528 bytes has records of its own.
func AppendParams(b []byte, id uint16, vars []string) []byte {
	start := -1 // where the header of the record under way is
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		size := lengthLen(len(name)) + lengthLen(len(value)) + len(name) + len(value)
		if start >= 0 && size > maxSent-(len(b)-start-HeaderLen) {
			b = closeRecord(b, start)
			start = -1
		}
		if start < 0 {
			start = len(b)
			b = AppendRecordHeader(b, TypeParams, id, 0, 0)
		}
		b = AppendPair(b, name, value)
		if size > maxSent {
			b = splitRecord(b, start, id)
			start = -1
		}
	}
	if start >= 0 {
		b = closeRecord(b, start)
	}
	return AppendStreamEnd(b, TypeParams, id)
}

// closeRecord pads the record whose header is at b[start:] and enters its lengths.
func closeRecord(b []byte, start int) []byte {
	n := len(b) - start - HeaderLen
	if n > maxSent {
		panic(fmt.Sprintf("fastcgi: record with %d bytes", n)) // B04
	}
	return padRecord(b, start, padding(n))
}

// padRecord is closeRecord with as much padding, at most 8.
func padRecord(b []byte, start, pad int) []byte {
	binary.BigEndian.PutUint16(b[start+4:], uint16(len(b)-start-HeaderLen))
	b[start+6] = byte(pad)
	return append(b, zeros[:pad]...)
}

// splitRecord makes records of the content behind the header at b[start:].
func splitRecord(b []byte, start int, id uint16) []byte {
	content := bytes.Clone(b[start+HeaderLen:])
	return AppendStream(b[:start], TypeParams, id, content)
}

// AppendGetValues appends a GET_VALUES record that asks for names (section 4.1).
// Together they must fit into one record.
func AppendGetValues(b []byte, names ...string) []byte {
	start := len(b)
	b = AppendRecordHeader(b, TypeGetValues, 0, 0, 0)
	for _, name := range names {
		b = AppendPair(b, name, "")
	}
	return closeRecord(b, start)
}

// AppendGetValuesResult appends a GET_VALUES_RESULT record with pairs, which are
// "NAME=value". Together they must fit into one record.
func AppendGetValuesResult(b []byte, pairs []string) []byte {
	start := len(b)
	b = AppendRecordHeader(b, TypeGetValuesResult, 0, 0, 0)
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		b = AppendPair(b, name, value)
	}
	return closeRecord(b, start)
}

// NextPair takes the first pair off b: its name and value, which are parts of b,
// and what follows. The error is ErrShort where b ends within the pair (also where it
// is empty), and a *ProtocolError for a pair that cannot be a variable: an empty
// name, an "=" in the name, a NUL (section 6.1, B09).
func NextPair(b []byte) (name, value, rest []byte, err error) {
	n, rest, ok := cutLength(b)
	v, rest, ok2 := cutLength(rest)
	// By subtraction: the sum of two lengths may not fit an int (B07).
	if !ok || !ok2 || n > len(rest) || v > len(rest)-n {
		return nil, nil, b, ErrShort
	}
	name, value, rest = rest[:n:n], rest[n:n+v:n+v], rest[n+v:]
	switch {
	case n == 0:
		err = &ProtocolError{"name-value pair without a name"}
	case bytes.IndexByte(name, '=') >= 0:
		err = &ProtocolError{fmt.Sprintf("name %q", clip(name))}
	case bytes.IndexByte(name, 0) >= 0 || bytes.IndexByte(value, 0) >= 0:
		err = &ProtocolError{fmt.Sprintf("a NUL in the pair named %q", clip(name))}
	}
	return name, value, rest, err
}

// cutLength takes one length off b.
func cutLength(b []byte) (n int, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	if b[0] < 1<<7 {
		return int(b[0]), b[1:], true
	}
	if len(b) < 4 {
		return 0, nil, false
	}
	return int(binary.BigEndian.Uint32(b) &^ (1 << 31)), b[4:], true
}

// clip bounds what of a peer's bytes gets into a message.
func clip(b []byte) []byte { return b[:min(len(b), 64)] }

// ParsePairs returns all pairs of b, a complete stream, as "NAME=value" in their
// order. They share one block of memory of about the size of b. It fails as NextPair
// does, and with a *ProtocolError if there are more than most pairs.
func ParsePairs(b []byte, most int) ([]string, error) {
	count := 0
	for rest := b; len(rest) > 0; count++ {
		var err error
		if _, _, rest, err = NextPair(rest); err != nil {
			return nil, err
		}
		if count == most {
			return nil, &ProtocolError{fmt.Sprintf("more than %d name-value pairs", most)}
		}
	}
	// "NAME=value" is never longer than the pair: two lengths make room for one "=".
	var text strings.Builder
	text.Grow(len(b))
	vars := make([]string, 0, count)
	for rest := b; len(rest) > 0; {
		name, value, r, err := NextPair(rest)
		if err != nil {
			return nil, err
		}
		start := text.Len()
		text.Write(name)
		text.WriteByte('=')
		text.Write(value)
		vars = append(vars, text.String()[start:])
		rest = r
	}
	return vars, nil
}
