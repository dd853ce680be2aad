package cgi

import (
	"bytes"
	"math"
)

// fieldLine is a line of the header or of the trailer section, or the empty line which ends it
// (RFC 9112 sections 5 and 7.1.2).
func (s *strictScanner) fieldLine(b []byte, i int) (int, *StrictError) {
	switch s.state {
	case strictInField:
		return s.beginField(b, i)
	case strictInName:
		return s.fieldName(b, i)
	case strictInValue:
		return s.fieldValue(b, i)
	}
	if b[i] != '\n' {
		return i, strictLineEnd
	}
	if s.state == strictInFieldLF {
		s.state = strictInField
		return i + 1, nil
	}
	if fault := s.endSection(); fault != nil {
		return i, fault
	}
	return i + 1, nil
}

func (s *strictScanner) beginField(b []byte, i int) (int, *StrictError) {
	switch b[i] {
	case '\r':
		s.state = strictInSectionLF
		return i + 1, nil
	case '\n':
		return i, strictLineEnd
	case ' ', '\t': // obs-fold (E04), or RFC 9112 section 2.2
		return i, strictFold
	}
	if s.fields == s.limits.Fields {
		return i, strictTooMany
	}
	s.fields++
	s.part = 0
	s.state = strictInName
	return i, nil
}

func (s *strictScanner) fieldName(b []byte, i int) (int, *StrictError) {
	left, tooLarge := s.sectionLeft()
	j := strictRun(b, i, left, strictToken)
	s.keep(b[i:j])
	s.size += j - i
	switch {
	case j == len(b):
		return j, nil
	case j-i == left:
		return j, tooLarge
	case b[j] == ' ' || b[j] == '\t':
		return j, strictNameSpace // RFC 9112 section 5.1
	case b[j] != ':' || s.part == 0:
		return j, strictNameByte
	}
	s.field = strictFieldNamed(s.element())
	if s.trailer && s.field != strictOrdinary {
		return j, strictTrailerName // RFC 9110 section 6.5.1
	}
	s.size++
	s.part = 0
	s.state = strictInValue
	return j + 1, nil
}

// strictFieldNamed returns which field name is. Names are tokens, so that folding is ASCII.
func strictFieldNamed(name []byte) uint8 {
	switch len(name) {
	case len("Host"):
		if bytes.EqualFold(name, []byte("Host")) {
			return strictHost
		}
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			return strictContentLength
		}
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			return strictTransferEncoding
		}
	}
	return strictOrdinary
}

func (s *strictScanner) fieldValue(b []byte, i int) (int, *StrictError) {
	left, tooLarge := s.sectionLeft()
	j := strictRun(b, i, left, strictValue)
	if s.field != strictOrdinary {
		v := b[i:j]
		if s.part == 0 {
			v = bytes.TrimLeft(v, " \t")
		}
		s.keep(v)
	}
	s.size += j - i
	switch {
	case j == len(b):
		return j, nil
	case j-i == left && b[j] != '\r':
		return j, tooLarge
	case b[j] != '\r':
		return j, strictValueByte
	}
	if fault := s.endValue(); fault != nil {
		return j, fault
	}
	s.state = strictInFieldLF
	return j + 1, nil
}

// sectionLeft returns how many bytes the header or the trailer section may still have, and the
// fault when there are more.
func (s *strictScanner) sectionLeft() (int, *StrictError) {
	if s.trailer {
		return s.limits.Trailer - s.size, strictLongTrailer
	}
	return s.limits.Header - s.size, strictTooLarge
}

// endValue takes the value of a field which frames or addresses the request.
func (s *strictScanner) endValue() *StrictError {
	long := s.part > len(s.text)
	v := bytes.TrimRight(s.element(), " \t")
	switch s.field {
	case strictHost: // RFC 9112 section 3.2
		s.hosts++
		if s.hosts > 1 {
			return strictHosts
		}
		if len(v) == 0 {
			return strictEmptyHost // E10
		}
	case strictContentLength: // RFC 9110 section 8.6
		if s.length >= 0 {
			return strictLengths // E14: even if they are equal
		}
		n, ok := strictDecimal(v)
		if !ok || long {
			return strictLength
		}
		s.length = n
	case strictTransferEncoding: // RFC 9112 section 6.1
		if s.chunked || long {
			return strictCodings
		}
		if !bytes.EqualFold(v, []byte("chunked")) {
			return strictNotChunked(v)
		}
		s.chunked = true
	}
	return nil
}

// strictDecimal parses 1*DIGIT.
func strictDecimal(v []byte) (n int64, ok bool) {
	for _, c := range v {
		d := int64(c) - '0'
		if d < 0 || d > 9 || n > (math.MaxInt64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(v) > 0
}

// strictNotChunked returns the fault of a list of transfer codings which is not chunked alone.
// If chunked is the last one, and only the last, the body could be delimited but not decoded:
// 501. Otherwise nobody knows where it ends: 400 (RFC 9112 sections 6.1 and 6.3).
func strictNotChunked(v []byte) *StrictError {
	for more := true; more; {
		var coding []byte
		coding, v, more = bytes.Cut(v, []byte(","))
		coding = bytes.Trim(coding, " \t")
		if len(coding) == 0 || strictRun(coding, 0, len(coding), strictToken) != len(coding) {
			return strictCodings
		}
		if bytes.EqualFold(coding, []byte("chunked")) == more {
			return strictCodings
		}
	}
	return strictCoding
}

// endSection decides what follows the header or the trailer section (RFC 9112 section 6.3).
func (s *strictScanner) endSection() *StrictError {
	switch {
	case s.trailer:
		s.nextRequest()
		return nil
	case s.chunked && s.http10:
		return strictOldCoding // E01
	case s.chunked && s.length >= 0:
		return strictBoth // E02, E03
	case s.hosts == 0 && !s.http10:
		return strictNoHost
	}
	s.heads++
	switch {
	case s.chunked:
		s.beginChunk()
	case s.length > 0:
		s.left = uint64(s.length)
		s.state = strictInBody
	default:
		s.nextRequest()
	}
	return nil
}

func (s *strictScanner) nextRequest() {
	*s = strictScanner{limits: s.limits, heads: s.heads, length: -1}
}

// body follows a body with Content-Length or in chunks:
//
//	chunk   = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
//	last    = 1*"0" [ chunk-ext ] CRLF trailer-section CRLF
//
// (RFC 9112 sections 6 and 7.1). It does not look at data.
func (s *strictScanner) body(b []byte, i int) (int, *StrictError) {
	switch s.state {
	case strictInBody, strictInChunkData:
		n := len(b) - i
		if uint64(n) > s.left {
			n = int(s.left)
		}
		s.left -= uint64(n)
		if s.left == 0 && s.state == strictInBody {
			s.nextRequest()
		} else if s.left == 0 {
			s.state = strictInChunkDataCR
		}
		return i + n, nil
	case strictInChunkDataCR:
		if b[i] != '\r' {
			return i, strictChunkEnd
		}
		s.state = strictInChunkDataLF
	case strictInChunkDataLF:
		if b[i] != '\n' {
			return i, strictChunkEnd
		}
		s.beginChunk()
	case strictInChunkSize:
		return s.chunkSize(b, i)
	case strictInChunkLF:
		if b[i] != '\n' {
			return i, strictLineEnd
		}
		s.beginData()
	default:
		return s.extension(b, i)
	}
	return i + 1, nil
}

func (s *strictScanner) beginChunk() {
	s.left = 0
	s.part = 0
	s.state = strictInChunkSize
}

func (s *strictScanner) beginData() {
	s.state = strictInChunkData
	if s.left == 0 { // the last chunk
		s.trailer = true
		s.size = 0
		s.fields = 0
		s.state = strictInField
	}
}

// chunkSize is 1*HEXDIG, of at most 16 digits and what an int64 can hold.
func (s *strictScanner) chunkSize(b []byte, i int) (int, *StrictError) {
	switch c := b[i]; {
	case strictClass[c]&strictHex != 0:
		if s.part == 16 {
			return i, strictChunkSize
		}
		s.part++
		s.left = s.left<<4 | strictHexValue(c)
		if s.left > math.MaxInt64 {
			return i, strictChunkSize
		}
		return i + 1, nil
	case s.part == 0:
		return i, strictChunkSize
	case c == '\r':
		s.state = strictInChunkLF
		return i + 1, nil
	case c == ';' || c == ' ' || c == '\t':
		s.state = strictInExtensionEnd
		return i, nil
	}
	return i, strictChunkSize
}

func strictHexValue(c byte) uint64 {
	if c <= '9' {
		return uint64(c - '0')
	}
	return uint64(c|0x20-'a') + 10
}

// extension is one byte of a chunk extension, which is checked and means nothing here (E12):
//
//	chunk-ext = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
//
// White space must be accepted where BWS stands (RFC 9110 section 5.6.3), so not before CRLF.
func (s *strictScanner) extension(b []byte, i int) (int, *StrictError) {
	c := b[i]
	next := strictAfterExtension(s.state, c)
	if next == strictInStart {
		return i, strictChunkExt
	}
	if next != strictInChunkLF {
		if s.ext == s.limits.ChunkExtension {
			return i, strictChunkExts // E30
		}
		s.ext++
	}
	s.state = next
	return i + 1, nil
}

// strictAfterExtension returns the state which follows c in a chunk extension, strictInStart if
// c is wrong there.
func strictAfterExtension(state strictState, c byte) strictState {
	space := c == ' ' || c == '\t'
	token := strictClass[c]&strictToken != 0
	switch state {
	case strictInExtension: // behind ";"
		switch {
		case space:
			return strictInExtension
		case token:
			return strictInExtensionName
		}
	case strictInExtensionName:
		switch {
		case token:
			return strictInExtensionName
		case space:
			return strictInExtensionNameEnd
		case c == '=':
			return strictInExtensionValue
		}
		return strictAfterValue(c)
	case strictInExtensionNameEnd: // behind the space behind a name
		switch {
		case space:
			return strictInExtensionNameEnd
		case c == '=':
			return strictInExtensionValue
		case c == ';':
			return strictInExtension
		}
	case strictInExtensionValue: // behind "="
		switch {
		case space:
			return strictInExtensionValue
		case c == '"':
			return strictInExtensionQuoted
		case token:
			return strictInExtensionToken
		}
	case strictInExtensionToken:
		if token {
			return strictInExtensionToken
		}
		return strictAfterValue(c)
	case strictInExtensionQuoted:
		switch {
		case c == '"':
			return strictInExtensionQuoteEnd
		case c == '\\':
			return strictInExtensionEscape
		case strictClass[c]&strictValue != 0:
			return strictInExtensionQuoted
		}
	case strictInExtensionEscape:
		if strictClass[c]&strictValue != 0 {
			return strictInExtensionQuoted
		}
	case strictInExtensionQuoteEnd:
		return strictAfterValue(c)
	case strictInExtensionEnd: // behind the size, or the space behind a value
		if space {
			return strictInExtensionEnd
		}
		if c == ';' {
			return strictInExtension
		}
	}
	return strictInStart
}

// strictAfterValue returns the state behind a complete extension.
func strictAfterValue(c byte) strictState {
	switch c {
	case ';':
		return strictInExtension
	case ' ', '\t':
		return strictInExtensionEnd
	case '\r':
		return strictInChunkLF
	}
	return strictInStart
}
