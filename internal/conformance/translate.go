package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

// A translation replaces the accounts and names of a case by others, wherever
// they stand as a whole.
type translation struct {
	list []replacement
}

type replacement struct {
	from, to string
	inside   func(byte) bool // characters that would make from a part of a longer name
}

func (t *translation) add(from, to string, inside func(byte) bool) {
	t.list = append(t.list, replacement{from, to, inside})
	sort.SliceStable(t.list, func(i, j int) bool { return len(t.list[i].from) > len(t.list[j].from) })
}

// addRole replaces the ARNs of a role and of its sessions.
func (t *translation) addRole(from iam.RoleARN, to roleToMake) {
	t.add(from.String(), to.arn, isNameCharacter)
	made, err := iam.ParseRoleARN(to.arn)
	if err != nil {
		return // the plan made it
	}
	session := strings.TrimSuffix(from.SessionARN("x").String(), "/x")
	t.add(session, strings.TrimSuffix(made.SessionARN("x").String(), "/x"), isNameCharacter)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isBucketCharacter(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || c == '-' || c == '.'
}

func isNameCharacter(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("+=,.@_-", c) >= 0
}

// text translates in one pass, so that nothing is replaced twice.
func (t *translation) text(s string) string {
	var b strings.Builder
next:
	for i := 0; i < len(s); {
		for _, r := range t.list {
			if !strings.HasPrefix(s[i:], r.from) {
				continue
			}
			end := i + len(r.from)
			if end < len(s) && r.inside(s[end]) || i > 0 && isDigit(r.from[0]) && isDigit(s[i-1]) {
				continue
			}
			b.WriteString(r.to)
			i = end
			continue next
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}

// policy translates every text in a policy document but the names of elements.
func (t *translation) policy(p *cases.Policy) error {
	decoder := json.NewDecoder(bytes.NewReader(p.Document))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		return fmt.Errorf("read a policy: %w", err)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(t.value(document)); err != nil {
		return fmt.Errorf("write a policy: %w", err)
	}
	p.Document = bytes.TrimSpace(out.Bytes())
	return nil
}

func (t *translation) value(v any) any {
	switch v := v.(type) {
	case string:
		return t.text(v)
	case []any:
		for i := range v {
			v[i] = t.value(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = t.value(v[name])
		}
	}
	return v
}
