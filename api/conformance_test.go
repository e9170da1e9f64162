package api_test

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount/api"
)

// conforming fails the test when an answer of the handler is not one that the
// OpenAPI document describes.
func conforming(t *testing.T, handler *api.Handler) http.Handler {
	var document map[string]any
	if err := json.Unmarshal(handler.OpenAPI(), &document); err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		result := recorder.Result()
		for name, values := range result.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(result.StatusCode)
		body := recorder.Body.Bytes()
		if _, err := w.Write(body); err != nil && r.Method != http.MethodHead {
			t.Log(err)
		}
		if err := conforms(document, r, result.StatusCode, result.Header.Get("Content-Type"), body); err != nil {
			t.Errorf("%s %.200s: %d: %v\n%.500s", r.Method, r.URL.Path, result.StatusCode, err, body)
		}
	})
}

func conforms(document map[string]any, r *http.Request, status int, contentType string, body []byte) error {
	var operation map[string]any
	for template, item := range document["paths"].(map[string]any) {
		if fits(template, r.URL.EscapedPath()) {
			if o, ok := item.(map[string]any)[strings.ToLower(r.Method)]; ok {
				operation = o.(map[string]any)
			}
		}
	}
	if operation == nil {
		if strings.HasPrefix(r.URL.Path, "/openapi.") || status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
			return nil
		}
		return fmt.Errorf("no operation is documented for an answer that is not 404 or 405")
	}
	response, ok := operation["responses"].(map[string]any)[strconv.Itoa(status)].(map[string]any)
	if !ok {
		return fmt.Errorf("the status is not documented")
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("content type %q: %w", contentType, err)
	}
	content, ok := response["content"].(map[string]any)[mediaType].(map[string]any)
	if !ok {
		return fmt.Errorf("the content type %s is not documented", mediaType)
	}
	if !strings.HasSuffix(mediaType, "json") {
		return nil
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return err
	}
	return check(document, content["schema"].(map[string]any), value, "body")
}

func fits(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	return len(want) == len(got) && !slices.ContainsFunc(want, func(s string) bool {
		i := slices.Index(want, s)
		return !strings.HasPrefix(s, "{") && got[i] != s
	})
}

// check validates a value against the part of JSON Schema that the document
// uses. A keyword it does not know is an error, so that nothing is skipped.
func check(document, schema map[string]any, value any, at string) error {
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		target, ok := document["components"].(map[string]any)["schemas"].(map[string]any)[name].(map[string]any)
		if !ok {
			return fmt.Errorf("%s: %s does not exist", at, ref)
		}
		return check(document, target, value, at)
	}
	for keyword, want := range schema {
		if err := checkKeyword(document, schema, keyword, want, value, at); err != nil {
			return err
		}
	}
	return nil
}

func checkKeyword(document, schema map[string]any, keyword string, want, value any, at string) error {
	text, isText := value.(string)
	object, isObject := value.(map[string]any)
	switch keyword {
	case "description", "examples", "minItems", "maxItems", "default":
	case "type":
		types, many := want.([]any)
		if !many {
			types = []any{want}
		}
		if !slices.Contains(types, any(typeOf(value))) && (typeOf(value) != "integer" || !slices.Contains(types, any("number"))) {
			return fmt.Errorf("%s: is of type %s, not %v", at, typeOf(value), want)
		}
	case "format":
		if isText && want == "date-time" {
			if _, err := time.Parse(time.RFC3339, text); err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
		}
	case "enum":
		if !slices.Contains(want.([]any), value) {
			return fmt.Errorf("%s: %v is not one of %v", at, value, want)
		}
	case "pattern":
		if isText && !regexp.MustCompile(want.(string)).MatchString(text) {
			return fmt.Errorf("%s: does not match %s", at, want)
		}
	case "minLength", "maxLength":
		if isText && (keyword == "minLength" && float64(len(text)) < want.(float64) || keyword == "maxLength" && float64(len(text)) > want.(float64)) {
			return fmt.Errorf("%s: has the wrong length", at)
		}
	case "required":
		for _, name := range want.([]any) {
			if _, ok := object[name.(string)]; isObject && !ok {
				return fmt.Errorf("%s.%s: is missing", at, name)
			}
		}
	case "properties":
		for name, property := range want.(map[string]any) {
			if v, ok := object[name]; ok {
				if err := check(document, property.(map[string]any), v, at+"."+name); err != nil {
					return err
				}
			}
		}
	case "additionalProperties":
		properties, _ := schema["properties"].(map[string]any)
		for name, v := range object {
			if _, known := properties[name]; known || want == true {
				continue
			}
			if want == false {
				return fmt.Errorf("%s.%s: is not documented", at, name)
			}
			if err := check(document, want.(map[string]any), v, at+"."+name); err != nil {
				return err
			}
		}
	case "items":
		list, _ := value.([]any)
		for i, v := range list {
			if err := check(document, want.(map[string]any), v, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("%s: the test does not know the keyword %s", at, keyword)
	}
	return nil
}

func typeOf(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}
