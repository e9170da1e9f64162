package crossaccount

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
)

// A Warning is something that AWS accepts but that is useless or unwise.
type Warning struct {
	Code    string `json:"code"`             // stable, for programs: "no_permissions", or the id of a lint rule
	Field   string `json:"field"`            // where: "ongoing_permissions[2].actions[0]"
	Message string `json:"message"`          // what is wrong
	Remedy  string `json:"remedy,omitempty"` // what to do
}

// String returns the warning on one line.
func (w Warning) String() string {
	s := w.Field + ": " + w.Message
	if w.Remedy != "" {
		s += "; " + w.Remedy
	}
	return s
}

// findings collects what is wrong with a configuration while it becomes a
// stack.
type findings struct {
	problems []string
	warnings []Warning
}

func (f *findings) problem(at, format string, args ...any) {
	f.problems = append(f.problems, at+": "+fmt.Sprintf(format, args...))
}

func (f *findings) warn(code, at, message, remedy string) {
	f.warnings = append(f.warnings, Warning{code, at, message, remedy})
}

// statements turns permissions into the statements of a policy. field is the
// configuration's name for the list.
func (f *findings) statements(field string, permissions []Permission) []iam.Statement {
	var statements []iam.Statement
	sids := map[string]string{} // :: Sid → where it was used first
	for i, p := range permissions {
		at := fmt.Sprintf("%s[%d]", field, i)
		before := len(f.problems)
		s := f.statement(at, p)
		if earlier, taken := sids[p.Sid]; taken && p.Sid != "" {
			f.problem(at+".sid", "%q is also the sid of %s; sids must be unique", clip(p.Sid), earlier)
		}
		sids[p.Sid] = at
		if len(f.problems) == before {
			f.lint(at, s)
		}
		statements = append(statements, s)
	}
	return statements
}

func (f *findings) statement(at string, p Permission) iam.Statement {
	s := iam.Statement{Sid: p.Sid, Effect: iam.Allow}
	f.literal(at+".sid", p.Sid)
	if strings.ContainsFunc(p.Sid, func(r rune) bool { return !isSidRune(r) }) {
		f.problem(at+".sid", "%q may only have letters A-Z, a-z and digits", clip(p.Sid))
	}
	switch iam.Effect(p.Effect) {
	case "", iam.Allow:
	case iam.Deny:
		s.Effect = iam.Deny
	default:
		f.problem(at+".effect", "%q must be Allow or Deny", clip(p.Effect))
	}
	if len(p.Actions) == 0 {
		f.problem(at+".actions", "must name at least one action such as s3:GetObject")
	}
	for j, action := range p.Actions {
		at := fmt.Sprintf("%s.actions[%d]", at, j)
		f.characters(at, action)
		s.Action = append(s.Action, action)
	}
	if len(p.Resources) == 0 {
		f.problem(at+".resources", "must name at least one resource ARN, or \"*\"")
	}
	for j, resource := range p.Resources {
		at := fmt.Sprintf("%s.resources[%d]", at, j)
		f.characters(at, resource)
		s.Resource = append(s.Resource, portable(resource))
	}
	s.Conditions = f.conditions(at+".condition", p.Condition)
	return s
}

func isSidRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// characters refuses text that IAM would refuse, and with it symbols that
// somebody wrote into the configuration.
func (f *findings) characters(at, s string) {
	f.literal(at, s)
	for _, r := range s {
		if !reference.IsPolicyCharacter(r) {
			f.problem(at, "contains the character %U; a policy may only have tabs, line breaks and U+0020 to U+00FF", r)
			return
		}
	}
}

// literal refuses what CloudFormation would replace in the customer's account
// before IAM sees it. The stack's own check would find it too, but not by the
// name of the field it comes from.
func (f *findings) literal(at, s string) {
	if template.HasDynamicReference(s) {
		f.problem(at, "contains {{resolve:, a dynamic reference of CloudFormation, which would be replaced by a value of the customer's account; write the text itself")
	}
}

// portable makes text from the configuration fit for accounts nobody knows yet:
// ARNs of the partition aws get the partition of the customer, and the names of
// CloudFormation's pseudo parameters stand for their values.
func portable(s string) string {
	if rest, ok := strings.CutPrefix(s, "arn:aws:"); ok {
		s = "arn:" + template.Partition + ":" + rest
	}
	return pseudoParameters.Replace(s)
}

var pseudoParameters = strings.NewReplacer(
	"${AWS::Partition}", template.Partition,
	"${AWS::AccountId}", template.AccountID,
	"${AWS::Region}", template.Region,
	"${AWS::URLSuffix}", template.URLSuffix,
)

// conditions turns the Condition of a permission, which may come from JSON,
// YAML or Go code, into conditions in a fixed order.
func (f *findings) conditions(at string, block map[string]interface{}) []iam.Condition {
	var conditions []iam.Condition
	for _, operator := range sortedKeys(reflect.ValueOf(block)) {
		at := at + "." + clip(operator)
		if _, err := iam.ParseOperator(operator); err != nil {
			f.problem(at, "%v", err)
			continue
		}
		keys := indirect(reflect.ValueOf(block[operator]))
		if keys.Kind() != reflect.Map || keys.Type().Key().Kind() != reflect.String {
			f.problem(at, "must be an object of condition keys and their values, such as {\"aws:RequestedRegion\": \"us-east-1\"}")
			continue
		}
		if keys.Len() == 0 {
			f.problem(at, "has no condition keys; name one or leave the operator out")
		}
		for _, key := range sortedKeys(keys) {
			at := at + "." + clip(key)
			if prefix, name, ok := strings.Cut(key, ":"); !ok || prefix == "" || name == "" {
				f.problem(at, "a condition key must be prefix:Name, such as aws:SourceIp")
			}
			f.characters(at, key)
			value := keys.MapIndex(reflect.ValueOf(key).Convert(keys.Type().Key()))
			conditions = append(conditions, iam.Condition{Operator: operator, Key: key, Values: f.values(at, value)})
		}
	}
	return conditions
}

func (f *findings) values(at string, v reflect.Value) []string {
	v = indirect(v)
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
		return []string{f.scalar(at, v)}
	}
	values := make([]string, 0, v.Len())
	for i := range v.Len() {
		values = append(values, f.scalar(fmt.Sprintf("%s[%d]", at, i), indirect(v.Index(i))))
	}
	return values
}

// scalar writes a value as IAM compares it. JSON numbers and booleans mean the
// same to IAM as their text.
func (f *findings) scalar(at string, v reflect.Value) string {
	if v.IsValid() && v.CanInterface() {
		switch x := v.Interface().(type) {
		case time.Time:
			return x.UTC().Format(time.RFC3339Nano)
		case json.Number:
			if _, err := strconv.ParseFloat(x.String(), 64); err != nil {
				f.problem(at, "%q is not a number", clip(x.String()))
			}
			return x.String()
		}
	}
	switch v.Kind() {
	case reflect.String:
		f.characters(at, v.String())
		return portable(v.String())
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		if math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0) {
			f.problem(at, "is not a finite number")
		}
		return strconv.FormatFloat(v.Float(), 'f', -1, v.Type().Bits())
	case reflect.Invalid:
		f.problem(at, "is null; give a string, number or boolean, or a list of them")
	default:
		f.problem(at, "is of the kind %s; give a string, number or boolean, or a list of them", v.Kind())
	}
	return ""
}

// indirect returns what interfaces and pointers lead to. The result is invalid
// for nil.
func indirect(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return v
}

func sortedKeys(m reflect.Value) []string {
	var keys []string
	for _, key := range m.MapKeys() {
		keys = append(keys, key.String())
	}
	slices.Sort(keys)
	return keys
}

// lint judges one permission on its own, so that findings have its index. What
// AWS refuses is a problem; what it accepts is the vendor's decision, however
// little it does.
func (f *findings) lint(at string, s iam.Statement) {
	// With the partition known, the linter can tell a short ARN from one that
	// only has a hole.
	inCommercial := func(list []string) []string {
		list = slices.Clone(list)
		for i, text := range list {
			if rest, ok := strings.CutPrefix(text, "arn:"+template.Partition+":"); ok {
				list[i] = "arn:aws:" + rest
			}
		}
		return list
	}
	s.Resource = inCommercial(s.Resource)
	s.Conditions = slices.Clone(s.Conditions)
	for i, c := range s.Conditions {
		s.Conditions[i].Values = inCommercial(c.Values)
	}
	p := &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{s}}
	o := lint.Options{Kind: iam.KindIdentity, CrossAccount: true, Suppressions: []lint.Suppression{
		{ID: "GX-S07", Reason: "permissions too large for one policy are divided", Optional: true},
	}}
	for _, found := range lint.Policy(p, o) {
		where := at + permissionField(found.Path)
		switch {
		case found.Refused:
			f.problem(where, "%s; %s (%s)", found.Message, found.Fix, found.ID)
		case found.Severity >= lint.Warning:
			f.warn(found.ID, where, found.Message, found.Fix)
		}
	}
}

// permissionField translates a path inside a policy of one statement into one
// inside a Permission: "Statement[0].Action[1]" into ".actions[1]".
func permissionField(path string) string {
	rest := strings.TrimPrefix(path, "Statement[0]")
	for _, name := range [][2]string{
		{".Action", ".actions"}, {".Resource", ".resources"}, {".Condition", ".condition"}, {".Sid", ".sid"}, {".Effect", ".effect"},
	} {
		if after, ok := strings.CutPrefix(rest, name[0]); ok {
			return name[1] + after
		}
	}
	if strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "[") {
		return rest
	}
	return ""
}

// warnOfForeignPartition warns of resources that are in no account that this
// installation can reach. ARNs of the partition aws are written for the
// customer's own, so they are never foreign.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
func (f *findings) warnOfForeignPartition(field string, permissions []Permission, region string) {
	home, ok := iam.PartitionOfRegion(cmp.Or(region, DefaultRegion))
	if !ok {
		return // Validate refuses it
	}
	for i, p := range permissions {
		for j, resource := range p.Resources {
			resource = portable(resource)
			partition, _, ok := strings.Cut(strings.TrimPrefix(resource, "arn:"), ":")
			if !ok || !strings.HasPrefix(resource, "arn:") || iam.HasSymbol(partition) || iam.MatchWildcard(partition, home.ID) {
				continue
			}
			f.warn("foreign_partition", fmt.Sprintf("%s[%d].resources[%d]", field, i, j),
				fmt.Sprintf("the resource is in partition %s, and roles in partition %s, that of default_region, cannot reach it", clip(partition), home.ID),
				"write arn:aws:, which becomes the partition of the customer's account, or run another installation whose default_region is in partition "+clip(partition))
		}
	}
}

// selfGranting are the actions with which a principal can give itself, or a role
// it then uses, permissions it does not have.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
var selfGranting = []string{
	"iam:AttachRolePolicy", "iam:PutRolePolicy", "iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion",
	"iam:UpdateAssumeRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:PutRolePermissionsBoundary",
	"iam:AttachUserPolicy", "iam:PutUserPolicy", "iam:CreateAccessKey", "iam:AttachGroupPolicy", "iam:PutGroupPolicy",
}

// warnOfSelfGranting warns of permissions that amount to being administrator:
// changing any role, user or policy, without a permissions boundary.
func (f *findings) warnOfSelfGranting(field string, permissions []Permission) {
	for i, p := range permissions {
		if p.Effect == string(iam.Deny) || !slices.ContainsFunc(p.Resources, namesEverybody) || boundaryRequired(p.Condition) {
			continue
		}
		for j, action := range p.Actions {
			at := slices.IndexFunc(selfGranting, func(known string) bool {
				return iam.MatchWildcard(strings.ToLower(action), strings.ToLower(known))
			})
			if at >= 0 {
				f.warn("self_granting", fmt.Sprintf("%s[%d].actions[%d]", field, i, j),
					selfGranting[at]+" on all resources lets the role give itself every permission in the account",
					"name the resources, set a permissions boundary for the role, or require one with the condition key iam:PermissionsBoundary")
				break
			}
		}
	}
}

// namesEverybody reports whether a resource covers roles, users or policies
// without naming them.
func namesEverybody(resource string) bool {
	if resource == "*" {
		return true
	}
	a, err := iam.ParseARN(resource)
	return err == nil && iam.MatchWildcard(a.Service, "iam") &&
		(strings.HasPrefix(a.Resource, "*") || strings.HasSuffix(a.Resource, "/*") && strings.Count(a.Resource, "/") == 1)
}

// boundaryRequired reports whether a condition asks for a permissions boundary.
func boundaryRequired(condition map[string]interface{}) bool {
	for _, keys := range condition {
		m := indirect(reflect.ValueOf(keys))
		if m.Kind() != reflect.Map || m.Type().Key().Kind() != reflect.String {
			continue
		}
		for _, key := range sortedKeys(m) {
			if strings.EqualFold(key, "iam:PermissionsBoundary") {
				return true
			}
		}
	}
	return false
}
