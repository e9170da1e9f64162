package browser

import (
	"bytes"
	"cmp"
	"flag"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/chromedp/chromedp"

	"github.com/crossaccount/crossaccount"
)

var (
	update = flag.Bool("update", false, "write the screenshots of the docs")
	all    = flag.String("screenshots", "", "write a screenshot of every state, device and color scheme into this directory")
)

// inDocs are the screenshots that are kept.
var inDocs = map[string]bool{
	"start-desktop-light": true, "launch-desktop-light": true, "launch-phone-dark": true, "verifying-desktop-light": true,
	"rejected-desktop-light": true, "connected-desktop-light": true, "connected-desktop-dark": true, "rejected-phone-light": true,
}

const maxScreenshot = 150_000 // bytes

// TestStates looks at every state of the page on a phone and a desktop, light
// and dark: axe finds nothing, nothing jumps, nothing is cut off, the console is
// silent.
func TestStates(t *testing.T) {
	for _, test := range []struct {
		name, heading string
		delay         time.Duration
		config        func(*crossaccount.Config)
		prepare       func(*vendor, *browser) (query string)
	}{
		{"start", "Connect your AWS account", 0, nil, func(*vendor, *browser) string { return "" }},
		{"launch", "Create the role in AWS", 0, nil, func(v *vendor, _ *browser) string { v.link(); return "" }},
		{"launch-details", "Create the role in AWS", 0, nil, func(v *vendor, _ *browser) string { v.link(); return "?details" }},
		{"verifying", "Checking the role", time.Hour, nil, func(v *vendor, b *browser) string {
			role := v.launch(v.link().LaunchURL)
			b.do(chromedp.Navigate(v.page), chromedp.SendKeys("#role_arn", role))
			b.submit("Verify connection")
			return ""
		}},
		{"interrupted", "Checking the role", time.Hour, nil, func(v *vendor, _ *browser) string {
			role := v.launch(v.link().LaunchURL)
			ctx, stop := contextThatEnds(v)
			defer stop()
			v.client.Verify(ctx, &crossaccount.VerificationRequest{CustomerID: "fabrikam", RoleARN: role})
			return ""
		}},
		{"rejected", "This role cannot be used", 0, nil, func(v *vendor, _ *browser) string {
			v.link()
			role := v.box.Account(customerID).Role("northwind-access", trustVendor, nil)
			if err := v.client.VerifyIntegration(v.Context(), &crossaccount.VerificationRequest{CustomerID: "fabrikam", RoleARN: role}); err == nil {
				v.Fatal("the role passed")
			}
			return ""
		}},
		{"connected", "Your account is connected", 0, nil, func(v *vendor, _ *browser) string { v.onboard(); return "" }},
		{"connected-details", "Your account is connected", 0, nil, func(v *vendor, _ *browser) string { v.onboard(); return "?details" }},
		{"setup-removed", "Your account is connected", 0, nil, func(v *vendor, _ *browser) string {
			v.onboard()
			v.finishSetup(v.Context(), "Northwind-Insights-fabrikam")
			if _, err := v.client.Check(v.Context(), "fabrikam", v.only().ID); err != nil {
				v.Fatal(err)
			}
			return ""
		}},
		{"degraded", "The connection needs attention", 0, nil, func(v *vendor, _ *browser) string {
			role := v.onboard()
			_, err := iam.NewFromConfig(v.box.Account(customerID).Config()).UpdateAssumeRolePolicy(v.Context(), &iam.UpdateAssumeRolePolicyInput{
				RoleName: aws.String(role[strings.LastIndex(role, "/")+1:]), PolicyDocument: aws.String(trustVendor),
			})
			if err != nil {
				v.Fatal(err)
			}
			if _, err := v.client.Check(v.Context(), "fabrikam", v.only().ID); err != nil {
				v.Fatal(err)
			}
			return ""
		}},
		{"expired", "The launch link has expired", 0, nil, func(v *vendor, _ *browser) string { v.link(); v.pass(8 * 24 * time.Hour); return "" }},
		{"disconnected", "The account is disconnected", 0, nil, func(v *vendor, _ *browser) string {
			v.onboard()
			if err := v.client.Disconnect(v.Context(), "fabrikam", v.only().ID); err != nil {
				v.Fatal(err)
			}
			return ""
		}},
		{"revoked", "The connection was ended", 0, nil, func(v *vendor, _ *browser) string {
			v.onboard()
			id := v.only().ID
			if err := v.client.Revoke(v.Context(), "fabrikam", id); err != nil {
				v.Fatal(err)
			}
			return "?integration=" + id
		}},
		{"hostile", "Connect your AWS account", 0, func(c *crossaccount.Config) {
			c.BrandingOptions = map[string]string{
				"display_name": `<script>alert(1)</script>` + strings.Repeat("W", 120) + "\u202e", "primary_color": "#ffee00",
			}
			c.OngoingPermissions = []crossaccount.Permission{{Sid: strings.Repeat("Long", 100), Actions: []string{"*"}, Resources: []string{"*"}}, {
				Actions: []string{"s3:*", "iam:*"}, Resources: []string{"arn:aws:s3:::" + strings.Repeat("x", 60), "arn:aws:s3:::" + strings.Repeat("y/", 900)},
			}}
		}, func(*vendor, *browser) string { return "" }},
		{"none", "Connect your AWS account", 0, func(c *crossaccount.Config) {
			c.BrandingOptions, c.OngoingPermissions, c.SetupPermissions = nil, nil, nil
		}, func(*vendor, *browser) string { return "" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVendor(t, test.delay, test.config)
			b := open(t)
			query := test.prepare(v, b)
			for _, s := range []screen{desktop, phone} {
				for _, scheme := range []string{"light", "dark"} {
					name := test.name + "-" + s.name + "-" + scheme
					b.on(s, scheme)
					b.do(chromedp.Navigate(v.page + query))
					b.see(test.heading)
					b.still(name)
					if query == "?details" {
						b.do(chromedp.Evaluate[chromedp.Void](`for (const d of document.querySelectorAll("details")) d.open = true`))
					}
					b.accessible(name)
					b.keep(s, name)
				}
			}
		})
	}
}

// keep writes a screenshot if it is wanted.
func (b *browser) keep(s screen, name string) {
	b.Helper()
	var files []string
	if *all != "" {
		files = append(files, filepath.Join(*all, name+".png"))
	}
	if *update && inDocs[name] {
		files = append(files, filepath.Join("../../docs/screenshots", name+".png"))
	}
	if len(files) == 0 {
		return
	}
	picture, err := png.Decode(bytes.NewReader(b.photograph(s)))
	if err != nil {
		b.Fatal(err)
	}
	var small bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, paletted(picture)); err != nil {
		b.Fatal(err)
	}
	for _, file := range files {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(file, small.Bytes(), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// paletted reduces a picture to its 256 most frequent colors. The page has few;
// most others are the edges of letters.
func paletted(picture image.Image) *image.Paletted {
	count := map[color.RGBA]int{}
	bounds := picture.Bounds()
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA) }
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	colors := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(count[b]-count[a], int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B))
	})
	var palette color.Palette
	for _, c := range colors[:min(256, len(colors))] {
		palette = append(palette, c)
	}
	nearest := map[color.RGBA]uint8{}
	for _, c := range colors {
		nearest[c] = uint8(palette.Index(c))
	}
	small := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			small.SetColorIndex(x, y, nearest[at(x, y)])
		}
	}
	return small
}

// The screenshots of the docs are there, and small. Those of `matrix` show
// what grant/picture/testdata has, and are not of this server's pages.
func TestScreenshots(t *testing.T) {
	for name := range inDocs {
		file := filepath.Join("../../docs/screenshots", name+".png")
		info, err := os.Stat(file)
		if err != nil {
			t.Errorf("%v; go test -update makes it", err)
		} else if info.Size() > maxScreenshot {
			t.Errorf("%s has %d bytes, at most %d are wanted", file, info.Size(), maxScreenshot)
		}
	}
	kept, err := filepath.Glob("../../docs/screenshots/*.png")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range kept {
		if strings.HasPrefix(filepath.Base(file), "matrix-") {
			continue
		}
		if !inDocs[strings.TrimSuffix(filepath.Base(file), ".png")] {
			t.Errorf("%s is not made by any test", file)
		}
	}
}
