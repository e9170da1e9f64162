package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/crossaccount/crossaccount/internal/testenv"
)

// patience is how long anything in the browser may take. It only ends tests that
// hang.
const patience = 90 * time.Second

// A browser is one window of Chromium that can reach nothing but loopback.
type browser struct {
	*testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // what the console says
	opened   chan string
}

// open starts Chromium. It is closed when the test ends.
func open(t *testing.T, options ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	path := testenv.Tool(t, "chromium")
	flags := append([]chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("hide-scrollbars", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	}, options...)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil { // waits for the process
			t.Logf("closing Chromium: %v", err)
		}
		cancel()
	})
	b := &browser{T: t, ctx: ctx, opened: make(chan string, 16)}
	for _, err := range []error{
		chromedp.Listen(ctx, b.listen),
		chromedp.ListenBrowser(ctx, func(event any) {
			switch e := event.(type) {
			case *target.EventTargetCreated:
				b.noteTarget(e.TargetInfo)
			case *target.EventTargetInfoChanged:
				b.noteTarget(e.TargetInfo)
			}
		}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	call(b, cdplog.Enable, cdp.Empty{})
	return b
}

func (b *browser) noteTarget(info *target.Info) {
	if strings.Contains(info.URL, ".amazon.com/") {
		select {
		case b.opened <- info.URL:
		default:
		}
	}
}

// listen collects what a careful developer would see in the console.
func (b *browser) listen(event any) {
	note := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problems = append(b.problems, fmt.Sprintf(format, args...))
	}
	switch e := event.(type) {
	case *cdplog.EventEntryAdded:
		if e.Entry.Level != cdplog.EntryLevelVerbose && !strings.HasSuffix(e.Entry.URL, "/favicon.ico") {
			note("%s %s: %s (%s)", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		note("exception: %s", e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		note("console.%s", e.Type)
	}
}

// quiet fails the test if the console said anything since it was last asked.
func (b *browser) quiet() {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, problem := range b.problems {
		b.Errorf("the browser's console: %s", problem)
	}
	b.problems = nil
}

// expectNoise forgets what the console said about a refusal that was meant.
func (b *browser) expectNoise(text string) {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var others []string
	for _, problem := range b.problems {
		if !strings.Contains(problem, text) {
			others = append(others, problem)
		}
	}
	b.problems = others
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.Fatalf("%v\n%s", err, b.source())
	}
}

func ask[T any](b *browser, action chromedp.Action[T]) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.Fatalf("%v\n%s", err, b.source())
	}
	return value
}

func call[P, R any](b *browser, command cdp.Command[P, R], params P) R {
	b.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.Fatal(err)
	}
	return result
}

func (b *browser) source() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	html, err := chromedp.Run(ctx, chromedp.OuterHTML("main"))
	if err != nil {
		return err.Error()
	}
	return html
}

// see waits until the page's heading is this one.
func (b *browser) see(heading string) {
	b.Helper()
	b.do(chromedp.WaitVisible(fmt.Sprintf(`//h1[normalize-space(.)=%q]`, heading)))
}

// submit clicks a form's button and waits for the answer.
func (b *browser) submit(text string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(fmt.Sprintf(`//button[normalize-space(.)=%q]`, text))); err != nil {
		b.Fatalf("%s: %v\n%s", text, err, b.source())
	}
}

func (b *browser) text(selector string) string {
	b.Helper()
	return ask(b, chromedp.Text(selector))
}

// A screen is a kind of device.
type screen struct {
	name          string
	width, height int64
	mobile        bool
}

var (
	phone   = screen{"phone", 390, 844, true}
	desktop = screen{"desktop", 1200, 820, false}
)

func (b *browser) on(s screen, scheme string) {
	b.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: s.width, Height: s.height, DeviceScaleFactor: 1, Mobile: s.mobile})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// photograph returns the whole page as a PNG.
func (b *browser) photograph(s screen) []byte {
	b.Helper()
	size := call(b, page.GetLayoutMetrics, cdp.Empty{}).CSSContentSize
	beyond := true
	return call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{
		CaptureBeyondViewport: &beyond,
		Clip:                  &page.Viewport{Width: float64(s.width), Height: max(size.Height, float64(s.height)), Scale: 1},
	}).Data
}

// axe returns axe-core's source, installing it on first use.
var axe = sync.OnceValues(func() (string, error) {
	const file = "node_modules/axe-core/axe.min.js"
	if _, err := os.Stat(file); err != nil {
		install := exec.Command("npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
		if out, err := install.CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm cannot install axe-core: %w\n%s", err, out)
		}
	}
	source, err := os.ReadFile(file)
	return string(source), err
})

// still fails the test if the page jumped while it was loaded.
func (b *browser) still(what string) {
	b.Helper()
	shift := ask(b, chromedp.Evaluate[float64](`new Promise(resolve => {
		let sum = 0;
		new PerformanceObserver(list => { for (const e of list.getEntries()) sum += e.value; }).observe({type: "layout-shift", buffered: true});
		setTimeout(() => resolve(sum), 50);
	})`, chromedp.EvalAwaitPromise))
	if shift > 0.001 {
		b.Errorf("%s: the layout shifted by %g", what, shift)
	}
}

// accessible fails the test if axe finds anything, if the console said anything,
// or if the page is wider than the window.
func (b *browser) accessible(what string) {
	b.Helper()
	b.quiet()
	testenv.Tool(b.T, "npm")
	source, err := axe()
	if err != nil {
		testenv.Missing(b.T, "npm", err.Error())
	}
	b.do(chromedp.Evaluate[chromedp.Void](source))
	found := ask(b, chromedp.Evaluate[string](`axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r => JSON.stringify(
		r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html + " " + n.failureSummary)}))))`, chromedp.EvalAwaitPromise))
	var violations []struct {
		ID, Help string
		Nodes    []string
	}
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		b.Fatal(err)
	}
	for _, v := range violations {
		b.Errorf("%s: axe finds %s: %s\n%s", what, v.ID, v.Help, strings.Join(v.Nodes, "\n"))
	}
	wide := ask(b, chromedp.Evaluate[[]string](`document.documentElement.scrollWidth > innerWidth ? [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 120)).slice(0, 5) : []`))
	if len(wide) > 0 {
		b.Errorf("%s: the page is wider than the window: %q", what, wide)
	}
	b.mu.Lock()
	b.problems = nil // axe's own
	b.mu.Unlock()
}
