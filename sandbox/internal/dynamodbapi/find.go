package dynamodbapi

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/dynamodbapi/expression"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

func checkName(name string) error {
	if !namePattern.MatchString(name) {
		return invalid("Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'")
	}
	return nil
}

// A use is what DynamoDB's own condition keys say about a request.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
type use struct {
	leading    []Value // values of the partition key
	attributes []string
	selects    string // dynamodb:Select
	returns    string // dynamodb:ReturnValues
	enclosing  string // dynamodb:EnclosingOperation
}

func (u use) set(ctx *iam.Context) {
	if len(u.leading) > 0 {
		values := make([]string, len(u.leading))
		for i, v := range u.leading {
			if values[i] = v.Text; v.Type == expression.Binary {
				values[i] = base64.StdEncoding.EncodeToString([]byte(v.Text))
			}
		}
		ctx.SetMulti("dynamodb:LeadingKeys", values...)
	}
	if len(u.attributes) > 0 {
		ctx.SetMulti("dynamodb:Attributes", u.attributes...)
	}
	for name, value := range map[string]string{"Select": u.selects, "ReturnValues": u.returns, "EnclosingOperation": u.enclosing} {
		if value != "" {
			ctx.Set("dynamodb:"+name, value)
		}
	}
}

// A reference says which table a request means, and what is asked of it.
type reference struct {
	table       string // name, or ARN
	index       string
	action      string // without "dynamodb:"
	requestTags []directory.Tag
	// use describes the request. The table is nil if there is none.
	use func(*table) use
}

// find returns the table that a request means: by its name in the caller's own
// account, or by its ARN in any. It authorises the action on the table, or on
// its index if the request reads one. The caller holds the lock. A table that
// does not exist is reported only to those who might have used it.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/rbac-cross-account-access.html
func (s *Service) find(c *authz.Call, ref reference) (*table, error) {
	if err := awsjson.Required("TableName", ref.table); err != nil {
		return nil, err
	}
	p, name := here(c), ref.table
	if strings.HasPrefix(ref.table, "arn:") {
		arn, err := iam.ParseARN(ref.table)
		rest, ok := strings.CutPrefix(arn.Resource, "table/")
		if err != nil || arn.Service != "dynamodb" || !ok || strings.Contains(rest, "/") {
			return nil, invalid("Invalid TableArn: Invalid ResourceArn provided as input %s", wire.Clip(ref.table))
		}
		p, name = place{iam.AccountID(arn.Account), arn.Region}, rest
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	var t *table
	if p.region == c.Region {
		t = s.tables[p][name]
	}
	resource := "arn:" + s.directory.Partition(p.account) + ":dynamodb:" + p.region + ":" + string(p.account) + ":table/" + name
	if ref.index != "" {
		if err := checkName(ref.index); err != nil {
			return nil, err
		}
		resource += "/index/" + ref.index
	}
	if t != nil {
		t.expire(c.Now)
	}
	if err := c.Authorize(t.query(p.account, resource, ref)); err != nil {
		return nil, err
	}
	if t == nil {
		return nil, wire.BadRequest("ResourceNotFoundException", "Requested resource not found: Table: %s not found", name)
	}
	if ref.index != "" && t.index(ref.index) == nil {
		return nil, invalid("The table does not have the specified index: %s", ref.index)
	}
	return t, nil
}

// query asks about a table that may be nil.
func (t *table) query(owner iam.AccountID, resource string, ref reference) authz.Query {
	q := authz.Query{Action: "dynamodb:" + ref.action, Resource: resource, ResourceAccount: owner, RequestTags: ref.requestTags}
	if t != nil {
		q.ResourceTags = t.tags
		q.ResourcePolicy = t.policy.compiled()
	}
	if ref.use != nil {
		q.Context = ref.use(t).set
	}
	return q
}

// leading is the use of a request that names one item by its key.
func leading(i Item, attributes []string, more use) func(*table) use {
	return func(t *table) use {
		if t == nil {
			return more
		}
		if v, ok := i[t.order.key.partition]; ok {
			more.leading = []Value{v}
		}
		more.attributes = distinctNames(attributes)
		return more
	}
}

func distinctNames(names ...[]string) []string {
	all := slices.Concat(names...)
	slices.Sort(all)
	return slices.Compact(all)
}

// legacy are parameters from before there were expressions. They are refused
// rather than ignored.
type legacy struct {
	AttributeUpdates, AttributesToGet, ConditionalOperator any
	Expected, KeyConditions, QueryFilter, ScanFilter       any
}

func (l legacy) refused() error {
	for name, value := range map[string]any{
		"AttributeUpdates": l.AttributeUpdates, "AttributesToGet": l.AttributesToGet, "ConditionalOperator": l.ConditionalOperator,
		"Expected": l.Expected, "KeyConditions": l.KeyConditions, "QueryFilter": l.QueryFilter, "ScanFilter": l.ScanFilter,
	} {
		if value != nil {
			return notIncluded("the legacy parameter "+name, "use expressions")
		}
	}
	return nil
}

// metrics are parameters that ask for figures. Only NONE is answered.
type metrics struct{ ReturnConsumedCapacity, ReturnItemCollectionMetrics string }

func (m metrics) refused() error {
	if m.ReturnConsumedCapacity != "" && m.ReturnConsumedCapacity != "NONE" {
		return notIncluded("ReturnConsumedCapacity", "leave it out, or set it to NONE")
	}
	if m.ReturnItemCollectionMetrics != "" && m.ReturnItemCollectionMetrics != "NONE" {
		return notIncluded("ReturnItemCollectionMetrics", "leave it out, or set it to NONE")
	}
	return nil
}
