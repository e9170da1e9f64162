package s3api

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"strconv"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// refuse makes an S3 error; fields are names and values of further elements.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func refuse(status int, code, message string, fields ...string) *wire.Error {
	e := &wire.Error{Status: status, Code: code, Message: message}
	for i := 0; i+1 < len(fields); i += 2 {
		e.Fields = append(e.Fields, wire.Field{Name: fields[i], Value: fields[i+1]})
	}
	return e
}

func noSuchBucket(name string) *wire.Error {
	return refuse(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist", "BucketName", name)
}

func noSuchKey(key string) *wire.Error {
	return refuse(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.", "Key", key)
}

func noSuchVersion(key, id string) *wire.Error {
	return refuse(http.StatusNotFound, "NoSuchVersion", "The specified version does not exist.", "Key", key, "VersionId", id)
}

func accessDenied() *wire.Error {
	return refuse(http.StatusForbidden, "AccessDenied", "Access Denied")
}

func methodNotAllowed(method, resourceType string) *wire.Error {
	return refuse(http.StatusMethodNotAllowed, "MethodNotAllowed",
		"The specified method is not allowed against this resource.", "Method", method, "ResourceType", resourceType)
}

func invalidArgument(name, value, message string) *wire.Error {
	return refuse(http.StatusBadRequest, "InvalidArgument", message, "ArgumentName", name, "ArgumentValue", value)
}

func malformedXML() *wire.Error {
	return refuse(http.StatusBadRequest, "MalformedXML",
		"The XML you provided was not well-formed or did not validate against our published schema")
}

func preconditionFailed(condition string) *wire.Error {
	return refuse(http.StatusPreconditionFailed, "PreconditionFailed",
		"At least one of the pre-conditions you specified did not hold", "Condition", condition)
}

// WriteError answers with an error in S3's shape. The answer to a HEAD request
// has no body, and neither has 304 Not Modified. The sandbox uses it too, for
// requests to S3 that are refused before they get here, such as those with a
// wrong signature.
func WriteError(w http.ResponseWriter, r *http.Request, requestID string, err error) {
	e := wire.AsError(err)
	code := e.Code
	if code == "InternalFailure" {
		code = "InternalError" // S3's name for it
	}
	h := w.Header()
	h.Set("X-Amz-Request-Id", requestID)
	h.Set("X-Amz-Id-2", hostID(requestID))
	if r.Method == http.MethodHead || e.Status == http.StatusNotModified {
		w.WriteHeader(e.Status)
		return
	}
	var b bytes.Buffer
	b.WriteString(xml.Header + "<Error>")
	element := func(name, value string) {
		b.WriteString("<" + name + ">")
		xml.EscapeText(&b, []byte(value))
		b.WriteString("</" + name + ">")
	}
	element("Code", code)
	element("Message", e.Message)
	for _, f := range e.Fields {
		element(f.Name, f.Value)
	}
	element("RequestId", requestID)
	element("HostId", hostID(requestID))
	b.WriteString("</Error>")
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(e.Status)
	w.Write(b.Bytes())
}
