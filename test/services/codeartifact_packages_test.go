package services

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"mime/multipart"
	"net/http"
)

// npmPackage is what npm publish sends for a version of @shop/orders.
func npmPackage(version, tarball string) string {
	sum := sha512.Sum512([]byte(tarball))
	data, err := json.Marshal(map[string]any{
		"_id": "@shop/orders", "name": "@shop/orders", "dist-tags": map[string]string{"latest": version},
		"versions": map[string]any{version: map[string]any{
			"name": "@shop/orders", "version": version, "description": "clients of the orders API", "license": "Apache-2.0",
			"dist": map[string]string{"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]), "tarball": "http://elsewhere.invalid/orders.tgz"},
		}},
		"_attachments": map[string]any{"@shop/orders-" + version + ".tgz": map[string]any{"content_type": "application/octet-stream", "data": []byte(tarball), "length": len(tarball)}},
	})
	if err != nil {
		panic(err)
	}
	return string(data)
}

// upload sends a file of shop_orders as twine does.
func (s *shop) upload(base, token, file, content string) (int, string) {
	s.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range map[string]string{":action": "file_upload", "protocol_version": "1", "name": "shop_orders", "version": file[len("shop_orders-"):][:len("1.0.0")], "filetype": "bdist_wheel", "requires_python": ">=3.8"} {
		if err := form.WriteField(name, value); err != nil {
			s.t.Fatal(err)
		}
	}
	part, err := form.CreateFormFile("content", file)
	if err == nil {
		_, err = part.Write([]byte(content))
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return s.call(http.MethodPost, base, token, body.String(), "Content-Type", form.FormDataContentType())
}
