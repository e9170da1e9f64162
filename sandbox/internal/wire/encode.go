package wire

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"reflect"
	"sort"
	"strconv"
	"time"
)

// The XML namespaces of the query services.
const (
	NamespaceIAM            = "https://iam.amazonaws.com/doc/2010-05-08/"
	NamespaceSTS            = "https://sts.amazonaws.com/doc/2011-06-15/"
	NamespaceCloudFormation = "http://cloudformation.amazonaws.com/doc/2010-05-15/"
	NamespaceSNS            = "http://sns.amazonaws.com/doc/2010-03-31/"
)

// WriteQuery answers an AWS query request:
//
//	<ActionResponse xmlns="namespace">
//	  <ActionResult>…out…</ActionResult>
//	  <ResponseMetadata><RequestId>…</RequestId></ResponseMetadata>
//	</ActionResponse>
//
// Out is a struct or a pointer to one; nil leaves the result out, as operations
// without output do. Fields become elements under their own or their tag's
// name; slices become <member> elements, maps <entry><key/><value/></entry> in
// the order of their keys, times ISO 8601 in UTC. Nil pointers are left out,
// and so are zero values and empty lists tagged omitempty.
func WriteQuery(w http.ResponseWriter, action, namespace, requestID string, out any) {
	var b bytes.Buffer
	b.WriteString("<" + action + "Response xmlns=\"")
	escape(&b, namespace)
	b.WriteString("\">\n")
	if v := reflect.ValueOf(out); v.IsValid() && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		element(&b, action+"Result", v)
		b.WriteByte('\n')
	}
	b.WriteString("<ResponseMetadata><RequestId>")
	escape(&b, requestID)
	b.WriteString("</RequestId></ResponseMetadata>\n</" + action + "Response>\n")
	writeXML(w, http.StatusOK, requestID, b.Bytes())
}

// WriteQueryError answers an AWS query request with an error.
func WriteQueryError(w http.ResponseWriter, namespace, requestID string, err *Error) {
	kind := "Sender"
	if err.Status >= 500 {
		kind = "Receiver"
	}
	var b bytes.Buffer
	b.WriteString("<ErrorResponse xmlns=\"")
	escape(&b, namespace)
	b.WriteString("\">\n<Error>")
	text(&b, "Type", kind)
	text(&b, "Code", err.Code)
	text(&b, "Message", err.Message)
	for _, f := range err.Fields {
		text(&b, f.Name, f.Value)
	}
	b.WriteString("</Error>\n")
	text(&b, "RequestId", requestID)
	b.WriteString("\n</ErrorResponse>\n")
	writeXML(w, err.Status, requestID, b.Bytes())
}

func writeXML(w http.ResponseWriter, status int, requestID string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/xml")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Amzn-Requestid", requestID)
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only if the client is gone
}

func text(b *bytes.Buffer, name, value string) {
	b.WriteString("<" + name + ">")
	escape(b, value)
	b.WriteString("</" + name + ">")
}

func escape(b *bytes.Buffer, s string) {
	_ = xml.EscapeText(b, []byte(s)) // a bytes.Buffer never fails
}

// FormatTime writes a time as the query protocol does: ISO 8601 in UTC, with
// milliseconds only if there are any.
func FormatTime(t time.Time) string {
	t = t.UTC()
	if t.Nanosecond() < int(time.Millisecond) {
		return t.Format("2006-01-02T15:04:05Z")
	}
	return t.Format("2006-01-02T15:04:05.000Z")
}

func element(b *bytes.Buffer, name string, v reflect.Value) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	b.WriteString("<" + name + ">")
	switch v.Kind() {
	case reflect.String:
		escape(b, v.String())
	case reflect.Bool:
		b.WriteString(strconv.FormatBool(v.Bool()))
	case reflect.Int, reflect.Int32, reflect.Int64:
		b.WriteString(strconv.FormatInt(v.Int(), 10))
	case reflect.Slice:
		for i := range v.Len() {
			element(b, "member", v.Index(i))
		}
	case reflect.Map:
		keys := v.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
		for _, key := range keys {
			b.WriteString("<entry>")
			text(b, "key", key.String())
			element(b, "value", v.MapIndex(key))
			b.WriteString("</entry>")
		}
	case reflect.Struct:
		if v.Type() == timeType {
			b.WriteString(FormatTime(v.Interface().(time.Time)))
		} else {
			fields(b, v)
		}
	default:
		panic("wire: WriteQuery cannot write a " + v.Type().String())
	}
	b.WriteString("</" + name + ">")
}

func fields(b *bytes.Buffer, v reflect.Value) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous && field.Type.Kind() == reflect.Struct {
			fields(b, v.Field(i))
			continue
		}
		name, omitEmpty := fieldName(field)
		if name == "" || omitEmpty && isEmpty(v.Field(i)) {
			continue
		}
		element(b, name, v.Field(i))
	}
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	default:
		return v.IsZero()
	}
}
