package picture

import (
	"bytes"
	_ "embed"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/grant"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var page = template.Must(template.New("page").Funcs(template.FuncMap{"join": strings.Join, "count": count}).Parse(pageHTML))

// A choice is what a reader can filter by. Its number stands for the name in
// styles, where names of a manifest have no place.
type choice struct {
	Number int
	Name   string
}

type pageRow struct {
	*grant.MatrixRow
	Class                               string
	OfConsumer, OfResource              int
	OfStage                             []int
	Does, How, ConsumerRole, Recognised string
}

// Page returns the matrix as one page of HTML that needs nothing else. It can be
// filtered by consumer, stage and resource without JavaScript, by style rules
// about what is selected; browsers that do not know :has() show everything. The
// layout is that of the picture in it.
func Page(m *grant.Matrix, layout Layout) ([]byte, error) {
	consumers, stages, resources := choices(m.Consumers()), choices(m.Stages()), choices(m.Resources())
	data := struct {
		Title, Summary               string
		Style, Filter                template.CSS
		Picture                      template.HTML
		Consumers, Stages, Resources []choice
		Rows                         []pageRow
		Kinds                        []grant.KindDescription
	}{
		Title: "Who may do what", Summary: summary(m), Picture: template.HTML(SVG(m, layout)), //nolint:gosec // made and escaped by SVG
		Consumers: consumers, Stages: stages, Resources: resources, Kinds: m.Kinds,
	}
	data.Style = template.CSS(pageCSS) //nolint:gosec // ours
	data.Filter = template.CSS(filters("consumer", consumers) + filters("stage", stages) + filters("resource", resources))
	for i := range m.Rows {
		r := &m.Rows[i]
		one := pageRow{MatrixRow: r, Class: class(r), Does: r.Does(), How: r.How(), ConsumerRole: r.Consumer.Short(), Recognised: strings.Join(r.Trusted, "; ")}
		one.OfConsumer, one.OfResource = numberOf(consumers, r.Consumer.Name), numberOf(resources, r.Resource.Name)
		one.OfStage = []int{numberOf(stages, r.Stage), numberOf(stages, r.Consumer.Stage)}
		data.Rows = append(data.Rows, one)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func choices(names []string) []choice {
	var all []choice
	for i, name := range names {
		all = append(all, choice{i + 1, name})
	}
	return all
}

func numberOf(list []choice, name string) int {
	return slices.IndexFunc(list, func(c choice) bool { return c.Name == name }) + 1
}

// filters hides the rows that do not have what is selected.
func filters(what string, list []choice) string {
	var b strings.Builder
	for _, c := range list {
		n := strconv.Itoa(c.Number)
		b.WriteString(`body:has(#` + what + ` option[value="` + n + `"]:checked) [data-` + what + `]:not([data-` + what + `~="` + n + `"]){display:none}` + "\n")
	}
	return b.String()
}

func class(r *grant.MatrixRow) string {
	switch {
	case r.Via == "trust":
		return "assume"
	case r.ReadOnly:
		return "read"
	}
	return "change"
}
