package codeartifactapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A request's host or its path says which repository it is for.
func TestFindEndpoint(t *testing.T) {
	for _, test := range []struct{ url, want string }{
		{"https://shop-111111111111.d.codeartifact.eu-central-1.amazonaws.com/npm/clients/@shop%2forders", "shop 111111111111 eu-central-1 npm clients [@shop orders] https://shop-111111111111.d.codeartifact.eu-central-1.amazonaws.com/npm/clients/"},
		{"https://my-shop-2-111111111111.d.codeartifact.cn-north-1.amazonaws.com.cn/pypi/clients/simple/", "my-shop-2 111111111111 cn-north-1 pypi clients [simple ] https://my-shop-2-111111111111.d.codeartifact.cn-north-1.amazonaws.com.cn/pypi/clients/"},
		{"http://127.0.0.1:4566/codeartifact/shop-111111111111/us-east-1/npm/clients/orders/-/orders-1.0.0.tgz", "shop 111111111111 us-east-1 npm clients [orders - orders-1.0.0.tgz] http://127.0.0.1:4566/codeartifact/shop-111111111111/us-east-1/npm/clients/"},
		{"http://localhost/codeartifact/nonsense", "    []  http://localhost/codeartifact/nonsense////"},
		{"http://127.0.0.1:4566/bucket/codeartifact/", ""},
		{"https://codeartifact.us-east-1.amazonaws.com/npm/clients/", ""},
		{"https://shop-1111.d.codeartifact.us-east-1.amazonaws.com/npm/clients/", ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, test.url, nil)
		e, ok := FindEndpoint(r, !strings.Contains(r.Host, "amazonaws"))
		if !ok {
			if test.want != "" {
				t.Errorf("%s is no endpoint", test.url)
			}
			continue
		}
		got := strings.Join([]string{e.Domain, e.Owner, e.Region, e.format, e.repository, "[" + strings.Join(e.path, " ") + "]", e.base}, " ")
		if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(test.want), " ") {
			t.Errorf("%s\n got %s\nwant %s", test.url, got, test.want)
		}
	}
}

// No path of an npm package makes a name that could be taken for another one.
func FuzzNPMName(f *testing.F) {
	for _, seed := range []string{"orders", "@shop/orders", "@shop/orders/-/orders-1.0.0.tgz", "@/x", "@shop", "..", "a/../b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		id, rest, ok := readNPMName(strings.Split(path, "/"))
		if !ok {
			return
		}
		if back := strings.Join(append([]string{id.shown()}, rest...), "/"); back != path {
			t.Errorf("%q was read as %q", path, back)
		}
		if strings.Count(id.arn("arn:aws:codeartifact:us-east-1:111111111111:repository/shop/clients"), "/") != 5 {
			t.Errorf("%q makes the ARN %s", path, id.arn(""))
		}
	})
}
