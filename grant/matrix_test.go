package grant_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
)

// Documents of these kinds are compared.
var matrixGoldens = []string{"kinesis-stream", "rest-api", "role", "role-for-pods"}

// The matrix says for every kind what the compiled policies say: its actions are
// those of the plan.
func TestMatrix(t *testing.T) {
	for _, file := range kindFiles(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			p := compile(t, read(t, file), grant.CloudFormation)
			m := p.Matrix()
			if slices.Contains(matrixGoldens, name) {
				document, about, _ := bytes.Cut(m.Markdown(), []byte("\n## About each "))
				compare(t, "testdata/matrix/"+name+".md", document)
				if !bytes.Contains(about, []byte("AWS's page: <https://")) {
					t.Error("what to know about the kind is missing")
				}
			}
			if len(m.Rows) != len(p.Grants) {
				t.Errorf("%d rows for %d grants", len(m.Rows), len(p.Grants))
			}
			for i := range m.Rows {
				r := &m.Rows[i]
				g := p.Grants[slices.IndexFunc(p.Grants, func(g grant.Given) bool { return g.Grant == r.Grant && g.Stage == r.Stage })]
				for _, a := range g.Actions {
					if !slices.Contains(r.Actions(), a) {
						t.Errorf("%s in %s lacks %s", r.Grant, r.Stage, a)
					}
				}
				if len(r.Permits) == 0 || len(r.Meaning) != len(r.Access) || len(r.Trusted) == 0 {
					t.Errorf("%s in %s is incomplete: %+v", r.Grant, r.Stage, r)
				}
				for _, texts := range [][]string{r.Consequences.Depends, r.Consequences.Limited, r.Consequences.Revoke} {
					if len(texts) == 0 {
						t.Errorf("%s in %s: a consequence is missing: %+v", r.Grant, r.Stage, r.Consequences)
					}
				}
			}
		})
	}
}

// An external ID is nobody's business but that of the two who agreed on it.
func TestMatrixHasNoExternalID(t *testing.T) {
	p := compile(t, read(t, "testdata/kinds/role.yaml"), grant.CloudFormation)
	data, err := json.Marshal(p.Matrix())
	if err != nil {
		t.Fatal(err)
	}
	if id := []byte("shop-4f7a1c9e2b5d"); bytes.Contains(data, id) || bytes.Contains(p.Matrix().Markdown(), id) {
		t.Error("the matrix has the external ID")
	}
}

func TestMatrixFilter(t *testing.T) {
	m := compile(t, read(t, "testdata/kinds/role.yaml"), grant.CloudFormation).Matrix()
	for _, test := range []struct {
		filter grant.MatrixFilter
		want   string
	}{
		{grant.MatrixFilter{}, "chained/alpha ours/alpha named/alpha chained/prod ours/prod named/prod theirs/prod"},
		{grant.MatrixFilter{Consumer: "vendor"}, "theirs/prod"},
		{grant.MatrixFilter{Stage: "testing"}, "ours/alpha named/alpha"},
		{grant.MatrixFilter{Stage: "prod", Resource: "next"}, "chained/prod named/prod"},
		{grant.MatrixFilter{Resource: "arn:aws:iam::111111111111:role/access/alpha-reader"}, "ours/alpha"},
		{grant.MatrixFilter{Consumer: "nobody"}, ""},
	} {
		var got []string
		for _, r := range m.Filter(test.filter).Rows {
			got = append(got, r.Grant+"/"+r.Stage)
		}
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("%+v: %s, want %s", test.filter, s, test.want)
		}
	}
	if got := m.Filter(grant.MatrixFilter{Consumer: "nobody"}); len(got.Kinds) != 0 || !strings.Contains(string(got.Markdown()), "Nobody") {
		t.Errorf("a matrix without rows: %+v", got)
	}
}
