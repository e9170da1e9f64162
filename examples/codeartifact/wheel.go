package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
)

const (
	wheelName = "shop_orders-1.0.0-py3-none-any.whl"
	dist      = "shop_orders-1.0.0.dist-info/"
)

// wheel packs the Python package, so that no build tool has to be downloaded.
//
// https://packaging.python.org/en/latest/specifications/binary-distribution-format/
func wheel() ([]byte, error) {
	code, err := files.ReadFile("packages/python/shop_orders/__init__.py")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	record := ""
	for _, file := range []struct{ name, text string }{
		{"shop_orders/__init__.py", string(code)},
		{dist + "METADATA", "Metadata-Version: 2.1\nName: shop-orders\nVersion: 1.0.0\nSummary: Client of the shop's orders API\nLicense: Apache-2.0\n"},
		{dist + "WHEEL", "Wheel-Version: 1.0\nGenerator: crossaccount\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{dist + "RECORD", ""},
	} {
		if file.name == dist+"RECORD" {
			file.text = record + file.name + ",,\n"
		}
		sum := sha256.Sum256([]byte(file.text))
		record += fmt.Sprintf("%s,sha256=%s,%d\n", file.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(file.text))
		entry, err := archive.Create(file.name)
		if err != nil {
			return nil, err
		}
		if _, err := io.WriteString(entry, file.text); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// upload publishes the wheel as twine does: a form with the file, sent to the
// endpoint.
func (w *world) upload(index string) error {
	data, err := wheel()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, field := range [][2]string{
		{":action", "file_upload"}, {"protocol_version", "1"}, {"metadata_version", "2.1"}, {"name", "shop-orders"}, {"version", "1.0.0"},
		{"filetype", "bdist_wheel"}, {"pyversion", "py3"}, {"summary", "Client of the shop's orders API"}, {"sha256_digest", hex.EncodeToString(sum[:])},
	} {
		if err := form.WriteField(field[0], field[1]); err != nil {
			return err
		}
	}
	part, err := form.CreateFormFile("content", wheelName)
	if err != nil {
		return err
	}
	if _, err := part.Write(data); err != nil {
		return err
	}
	if err := form.Close(); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(w.ctx, http.MethodPost, index, &body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", form.FormDataContentType())
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return fmt.Errorf("%s: %s", answer.Status, text)
	}
	return nil
}
