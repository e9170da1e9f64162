package sandbox

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
)

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// pagePolicy allows the page's own style and nothing else: no script, no
// image, no form, no frame around it.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

const (
	pageRows      = 500 // of one table
	pageDecisions = 100
)

// wantsPage reports whether a request is a browser's for the sandbox's page: no
// AWS client asks for HTML.
func wantsPage(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		r.URL.Path == "/" && r.URL.RawQuery == "" &&
		r.Header.Get("Authorization") == "" &&
		strings.Contains(r.Header.Get("Accept"), "text/html") &&
		isLocalName(r.Host)
}

// A pageSection is a table with how many of its rows are left out.
type pageSection struct {
	overview.Section
	Left int
}

type pageDecision struct {
	Time, Caller, Action, Resource, Verdict, Class, Deciding, Explanation string
}

func (s *Sandbox) servePage(w http.ResponseWriter, r *http.Request) {
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, map[string]any{
		"Style":     template.CSS(pageStyle),
		"Now":       s.clock().UTC().Format(time.RFC1123),
		"Sections":  s.sections(),
		"Decisions": s.lastDecisions(),
	})
	if err != nil {
		s.logger.Error("rendering the page", "cause", err)
		http.Error(w, "the page could not be rendered", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes()) // fails only if the client is gone
	}
}

func (s *Sandbox) sections() []pageSection {
	accounts := overview.Section{Title: "Accounts", Columns: []string{"Account", "Partition", "Organisation", "Root access key"}}
	roles := overview.Section{Title: "Roles", Columns: []string{"ARN", "Unique id", "Policies", "Boundary", "Last used"}}
	users := overview.Section{Title: "Users", Columns: []string{"ARN", "Unique id", "Policies", "Boundary", "Access keys"}}
	view := s.directory.Latest()
	for _, a := range s.directory.Accounts() {
		accounts.Rows = append(accounts.Rows, []string{string(a.ID), a.Partition, s.engine.Organization(a.ID), a.RootKey().ID})
		allRoles, _ := view.Roles(a.ID, "/", "", pageRows+1)
		for _, role := range allRoles {
			roles.Rows = append(roles.Rows, []string{role.ARN(), role.ID, policyNames(&role.Identity), role.Boundary, s.roleUse(role.ID)})
		}
		allUsers, _ := view.Users(a.ID, "/", "", pageRows+1)
		for _, user := range allUsers {
			users.Rows = append(users.Rows, []string{user.ARN(), user.ID, policyNames(&user.Identity), user.Boundary, keyIDs(user)})
		}
	}
	sections := []pageSection{limitRows(accounts), limitRows(roles), limitRows(users)}
	names := make([]string, 0, len(s.services))
	for name := range s.services {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if source, ok := s.services[name].handler.(overview.Source); ok {
			for _, section := range source.Overview() {
				sections = append(sections, limitRows(section))
			}
		}
	}
	return sections
}

func limitRows(section overview.Section) pageSection {
	left := max(0, len(section.Rows)-pageRows)
	section.Rows = section.Rows[:len(section.Rows)-left]
	return pageSection{section, left}
}

func policyNames(i *directory.Identity) string {
	var names []string
	for _, p := range i.Inline {
		names = append(names, p.Name+" (inline)")
	}
	return strings.Join(append(names, i.Attached...), ", ")
}

func keyIDs(u *directory.User) string {
	var ids []string
	for _, key := range u.Keys {
		id := key.ID
		if !key.Active {
			id += " (inactive)"
		}
		ids = append(ids, id)
	}
	return strings.Join(ids, ", ")
}

func (s *Sandbox) roleUse(id string) string {
	use, ok := s.directory.RoleLastUse(id)
	if !ok {
		return ""
	}
	return use.At.UTC().Format(time.DateTime) + " " + use.Service
}

// lastDecisions returns the latest decisions, newest first.
func (s *Sandbox) lastDecisions() []pageDecision {
	var rows []pageDecision
	calls := s.Calls()
	for i := len(calls) - 1; i >= 0 && len(rows) < pageDecisions; i-- {
		call := calls[i]
		when := call.Time.UTC().Format(time.TimeOnly)
		if len(call.Decisions) == 0 {
			rows = append(rows, undecided(when, call))
		}
		for j := len(call.Decisions) - 1; j >= 0 && len(rows) < pageDecisions; j-- {
			d := call.Decisions[j]
			row := pageDecision{
				Time:        when,
				Caller:      d.Caller,
				Action:      d.Action,
				Resource:    d.Resource,
				Verdict:     d.Verdict.String(),
				Class:       "no",
				Deciding:    d.Deciding(),
				Explanation: d.Explain().String(),
			}
			if d.Verdict == eval.Allowed {
				row.Class = "yes"
			}
			if len(d.Via) > 0 {
				row.Caller += " via " + strings.Join(d.Via, ", ")
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// undecided is a call that was answered before or without authorization.
func undecided(when string, call Call) pageDecision {
	row := pageDecision{
		Time:    when,
		Caller:  call.Caller,
		Action:  strings.TrimSuffix(call.Service+":"+call.Operation, ":"),
		Verdict: fmt.Sprintf("%d %s", call.Status, call.Code),
		Class:   "no",
	}
	switch {
	case call.Status < 300:
		row.Class, row.Deciding = "yes", "needs no permission"
	case call.Caller == "":
		row.Deciding = "refused before the caller was known"
	default:
		row.Deciding = "refused without a question of permission"
	}
	return row
}
