package secretsapi

import (
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)

func invalidParameter(format string, args ...any) error {
	return wire.BadRequest("InvalidParameterException", format, args...)
}

func invalidRequest(format string, args ...any) error {
	return wire.BadRequest("InvalidRequestException", format, args...)
}

// find returns the secret that a name, an ARN or an ARN without its suffix
// means, after authorising the action on it. The caller holds the lock. A
// secret of another account is named by its whole ARN. One that does not exist
// is reported only to those who might have used it.
//
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen
func (s *Service) find(c *authz.Call, id, action string, more func(*authz.Query)) (*secret, error) {
	if err := awsjson.Required("SecretId", id); err != nil {
		return nil, err
	}
	if len(id) > 2048 {
		return nil, wire.BadRequest("ValidationException", "1 validation error detected: Value at 'secretId' failed to satisfy constraint: Member must have length less than or equal to 2048")
	}
	p, name, arn := here(c), id, ""
	if strings.HasPrefix(id, "arn:") {
		parsed, err := iam.ParseARN(id)
		rest, ok := strings.CutPrefix(parsed.Resource, "secret:")
		if err != nil || parsed.Service != "secretsmanager" || !ok {
			return nil, wire.BadRequest("ValidationException", "Invalid ARN.")
		}
		p.account, name, arn = iam.AccountID(parsed.Account), rest, id
		if parsed.Region != c.Region {
			p.region = parsed.Region // there are no secrets of another region behind this endpoint
			name = ""
		}
	}
	x := s.lookup(p, name, arn, c)
	q := authz.Query{Action: "secretsmanager:" + action, Context: func(ctx *iam.Context) { ctx.Set("secretsmanager:SecretId", id) }}
	if x != nil {
		q.Resource, q.ResourceAccount, q.ResourceTags = x.arn(), x.account, x.tags
		if x.policy != nil {
			q.ResourcePolicy = x.policy.Compiled
		}
		tags := x.tags
		q.Context = func(ctx *iam.Context) {
			ctx.Set("secretsmanager:SecretId", id)
			ctx.Set("secretsmanager:SecretPrimaryRegion", x.region)
			for _, tag := range tags {
				ctx.Set("secretsmanager:ResourceTag/"+tag.Key, tag.Value)
			}
		}
	} else if q.Resource = arn; arn == "" {
		q.Resource = s.nameARN(p, name)
	}
	if more != nil {
		more(&q)
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if x == nil {
		return nil, wire.BadRequest("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	}
	return x, nil
}

func (s *Service) lookup(p place, name, arn string, c *authz.Call) *secret {
	secrets := s.secrets[p]
	found := secrets[name]
	if arn != "" {
		for _, x := range secrets {
			if x.arn() == arn {
				found = x
			}
		}
		if found != nil && found.arn() != arn && p.account != c.Account() {
			return nil
		}
	}
	if found == nil || found.gone(c.Now) {
		return nil
	}
	return found
}

// nameARN is the ARN of a secret whose suffix nobody knows.
func (s *Service) nameARN(p place, name string) string {
	partition := "aws"
	if a, ok := s.directory.Account(p.account); ok {
		partition = a.Partition
	}
	return "arn:" + partition + ":secretsmanager:" + p.region + ":" + string(p.account) + ":secret:" + name
}

// with adds the context keys of one operation to a query.
func with(add func(*iam.Context)) func(*authz.Query) {
	return func(q *authz.Query) {
		base := q.Context
		q.Context = func(ctx *iam.Context) {
			base(ctx)
			add(ctx)
		}
	}
}

// A Tag is a tag as Secrets Manager writes it.
type Tag struct{ Key, Value string }

const maxTags = 50

func checkTags(tags []Tag) ([]directory.Tag, error) {
	var list []directory.Tag
	for _, t := range tags {
		switch {
		case t.Key == "" || len([]rune(t.Key)) > 128 || len([]rune(t.Value)) > 256:
			return nil, invalidParameter("a tag has a key of 1 to 128 characters and a value of at most 256")
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return nil, invalidParameter("tag keys that begin with aws: are AWS's")
		case slices.ContainsFunc(list, func(o directory.Tag) bool { return o.Key == t.Key }):
			return nil, invalidParameter("Duplicate tag keys")
		}
		list = append(list, directory.Tag{Key: t.Key, Value: t.Value})
	}
	if len(list) > maxTags {
		return nil, invalidParameter("a secret has at most %d tags", maxTags)
	}
	return list, nil
}

func shownTags(tags []directory.Tag) []Tag {
	var list []Tag
	for _, t := range tags {
		list = append(list, Tag{t.Key, t.Value})
	}
	return list
}

// TagResourceInput is the input of TagResource.
type TagResourceInput struct {
	SecretID string `json:"SecretId"`
	Tags     []Tag
}

// TagResource adds tags to a secret, or changes them.
func (s *Service) TagResource(c *authz.Call, in *TagResourceInput) (*struct{}, error) {
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.SecretID, "TagResource", func(q *authz.Query) { q.RequestTags = tags })
	if err != nil {
		return nil, err
	}
	merged := directory.SetTags(x.tags, tags)
	if len(merged) > maxTags {
		return nil, invalidParameter("a secret has at most %d tags", maxTags)
	}
	x.tags = merged
	return nil, nil
}

// UntagResourceInput is the input of UntagResource.
type UntagResourceInput struct {
	SecretID string `json:"SecretId"`
	TagKeys  []string
}

// UntagResource removes tags. Those that are not there do not matter.
func (s *Service) UntagResource(c *authz.Call, in *UntagResourceInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.SecretID, "UntagResource", with(func(ctx *iam.Context) { ctx.SetMulti("aws:TagKeys", in.TagKeys...) }))
	if err != nil {
		return nil, err
	}
	x.tags = directory.RemoveTags(x.tags, in.TagKeys)
	return nil, nil
}
