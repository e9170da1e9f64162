package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/grant/picture"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// matrixFormats are what matrix can print, the default first.
var matrixFormats = []string{"text", "markdown", "html", "svg", "json"}

func newMatrix(streams Streams) *cobra.Command {
	var format, layout, out string
	var width int
	var asJSON bool
	var filter grant.MatrixFilter
	c := &cobra.Command{
		Use:   "matrix [FILE]",
		Short: "Show who may do what, in which stage",
		Long: `Show who may do what, in which stage: for every grant of an access manifest the
consumer's role, the resource, the exact actions, how the access is given, who
depends on whom, what is limited, and how to revoke it. It comes from the data
that "crossaccount compile" makes the policies from.

Formats: text (as wide as the terminal), markdown, html (one page that needs
nothing else and can be filtered, with JavaScript off too), svg (a picture) and
json. The picture has lines with few accounts and a table with many; --layout
chooses.

--consumer, --stage and --resource select rows. A stage may be that of the
resource or of the consumer.`,
		Example: `  crossaccount matrix
  crossaccount matrix --stage prod --consumer analytics
  crossaccount matrix --format html -o access.html
  crossaccount matrix --format svg -o access.svg`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if asJSON {
				format = "json"
			}
			if !slices.Contains(matrixFormats, format) {
				return &exitError{ExitUsage, fmt.Errorf("--format: %q is unknown; use one of %s", format, strings.Join(matrixFormats, ", "))}
			}
			if !slices.Contains(picture.Layouts(), picture.Layout(layout)) {
				return &exitError{ExitUsage, fmt.Errorf("--layout: %q is unknown; use one of %s", layout, strings.Join(layouts(), ", "))}
			}
			if c.Flags().Changed("layout") && format != "svg" && format != "html" {
				return &exitError{ExitUsage, fmt.Errorf("--layout is of the picture, which --format svg and html have, and %s has not", format)}
			}
			if c.Flags().Changed("width") && format != "text" {
				return &exitError{ExitUsage, fmt.Errorf("--width is of --format text, and %s has none", format)}
			}
			plan, err := compileManifest(streams, manifestArgument(args), "")
			if err != nil {
				return err
			}
			m := plan.Matrix()
			if err := knownNames(m, filter); err != nil {
				return &exitError{ExitUsage, err}
			}
			m = m.Filter(filter)
			if format == "json" {
				return toFileOr(streams.Out, out, func(w io.Writer) error { return printJSON(w, m) })
			}
			if width < 0 {
				return &exitError{ExitUsage, fmt.Errorf("--width %d: must not be negative", width)}
			}
			look := textStyle(streams.Out, out)
			if width > 0 {
				look.width = width
			}
			data, err := matrixIn(format, m, picture.Layout(layout), look)
			if err != nil {
				return &exitError{ExitInternal, err}
			}
			return toFileOr(streams.Out, out, func(w io.Writer) error { _, err := w.Write(data); return err })
		},
	}
	f := c.Flags()
	f.StringVar(&format, "format", matrixFormats[0], strings.Join(matrixFormats, ", "))
	f.StringVar(&layout, "layout", string(picture.Auto), "of the picture (--format svg or html): "+strings.Join(layouts(), ", "))
	f.StringVarP(&out, "output", "o", "", "`file` to write to, instead of standard output")
	f.StringVar(&filter.Consumer, "consumer", "", "only this `consumer`")
	f.StringVar(&filter.Stage, "stage", "", "only this `stage`, of the resource or of the consumer")
	f.StringVar(&filter.Resource, "resource", "", "only this `resource`: its name in the manifest or its ARN")
	f.IntVar(&width, "width", 0, "`columns` of text (default: those of the terminal, else 100)")
	f.BoolVar(&asJSON, "json", false, "print JSON; the same as --format json")
	fixedValues(c, "format", matrixFormats...)
	fixedValues(c, "layout", layouts()...)
	return c
}

func layouts() []string {
	var all []string
	for _, l := range picture.Layouts() {
		all = append(all, string(l))
	}
	return all
}

// knownNames refuses filters that select nothing because nothing has that name.
func knownNames(m *grant.Matrix, f grant.MatrixFilter) error {
	for _, one := range []struct {
		flag, name string
		known      []string
	}{{"consumer", f.Consumer, m.Consumers()}, {"stage", f.Stage, m.Stages()}, {"resource", f.Resource, m.Resources()}} {
		if one.flag == "resource" && strings.HasPrefix(one.name, "arn:") {
			continue
		}
		if err := knownName(one.flag, one.name, one.known); err != nil {
			return err
		}
	}
	return nil
}

func knownName(flag, name string, known []string) error {
	if name == "" || slices.Contains(known, name) {
		return nil
	}
	hint := "there are: " + strings.Join(known, ", ")
	if near := reference.Nearest(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Errorf("--%s: there is no %s %q; %s", flag, flag, name, hint)
}

func matrixIn(format string, m *grant.Matrix, layout picture.Layout, style textLook) ([]byte, error) {
	switch format {
	case "markdown":
		return m.Markdown(), nil
	case "html":
		return picture.Page(m, layout)
	case "svg":
		return picture.SVG(m, layout), nil
	}
	var b strings.Builder
	printMatrix(&b, m, style)
	return []byte(b.String()), nil
}

// toFileOr writes to a file, which is never half-written, or to standard output.
func toFileOr(w io.Writer, file string, write func(io.Writer) error) error {
	if file == "" {
		return write(w)
	}
	var b strings.Builder
	if err := write(&b); err != nil {
		return err
	}
	if err := writeFiles(filepath.Dir(file), []grant.File{{Path: filepath.Base(file), Data: []byte(b.String())}}); err != nil {
		return &exitError{ExitUsage, err}
	}
	fmt.Fprintf(w, "wrote %s\n", file)
	return nil
}

// A textLook is how text is shown on a terminal.
type textLook struct {
	width  int
	colour bool
}

// wideEnough is how wide text is where no terminal says otherwise.
const wideEnough = 100

// textStyle asks the terminal, if the output goes to one. Colour is for
// terminals whose owner does not object (NO_COLOR).
func textStyle(w io.Writer, file string) textLook {
	look := textLook{width: wideEnough}
	if a, ok := w.(*attentive); ok {
		w = a.Writer
	}
	terminal, ok := w.(*os.File)
	if file != "" || !ok {
		return look
	}
	info, err := terminal.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return look
	}
	look.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if n := terminalWidth(terminal); n > 0 {
		look.width = n
	}
	return look
}
