package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// DecodeJSON fills the struct that into points to from the body of a request
// of one of AWS's JSON protocols. Blobs are []byte, times are [Timestamp].
// Members that no field takes are ignored, as AWS does; an empty body is an
// empty structure. What cannot be read gives an *Error with code
// SerializationException; into may then be partly filled. A member's own
// UnmarshalJSON may refuse with an *Error of its own.
//
// https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
func DecodeJSON(body []byte, into any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("there is more than one JSON value")
		}
	}
	var wrongType *json.UnmarshalTypeError
	var refused *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &wrongType):
		e := BadRequest("SerializationException", "%s can not be converted to the type of member %s", wrongType.Value, wrongType.Field)
		e.Cause = err
		return e
	}
	e := BadRequest("SerializationException", "the request body is not the JSON object it should be")
	e.Cause = err
	return e
}

// WriteJSON answers a request of a JSON protocol. Version is "1.0" or "1.1",
// or empty for the REST protocols. Out that is nil is an empty body, as
// operations without output answer.
func WriteJSON(w http.ResponseWriter, version, requestID string, status int, out any) {
	kind := "application/json"
	if version != "" {
		kind = "application/x-amz-json-" + version
	}
	var body []byte
	if out != nil {
		var err error
		if body, err = json.Marshal(out); err != nil {
			WriteJSONError(w, requestID, AsError(fmt.Errorf("encoding %T: %w", out, err)))
			return
		}
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Amzn-Requestid", requestID)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only if the client is gone
}

// A Timestamp is a time as the JSON protocols write it: seconds since 1970,
// with milliseconds. Give fields the type *Timestamp with omitempty if the
// time may be missing.
type Timestamp struct{ time.Time }

// At returns t as a timestamp, nil for the zero time.
func At(t time.Time) *Timestamp {
	if t.IsZero() {
		return nil
	}
	return &Timestamp{t}
}

// MarshalJSON writes seconds since 1970.
func (t Timestamp) MarshalJSON() ([]byte, error) {
	ms := t.UnixMilli()
	if ms%1000 == 0 {
		return strconv.AppendInt(nil, ms/1000, 10), nil
	}
	return strconv.AppendFloat(nil, float64(ms)/1000, 'f', 3, 64), nil
}

// UnmarshalJSON reads seconds since 1970, or a time in ISO 8601 as some
// clients send it.
func (t *Timestamp) UnmarshalJSON(data []byte) error {
	if seconds, err := strconv.ParseFloat(string(data), 64); err == nil {
		t.Time = time.UnixMilli(int64(seconds * 1000)).UTC()
		return nil
	}
	return t.Time.UnmarshalJSON(data)
}
