package iamapi

import (
	"net/url"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// A Tag is a key and a value.
type Tag = directory.Tag

// A Role as operations return it. Lists leave out description, boundary, last
// use and tags as IAM does.
type Role struct {
	Path                     string
	RoleName                 string
	RoleId                   string
	Arn                      string
	CreateDate               time.Time
	AssumeRolePolicyDocument string // URL-encoded JSON (RFC 3986)
	Description              string `wire:",omitempty"`
	MaxSessionDuration       int    `wire:",omitempty"` // seconds
	PermissionsBoundary      *AttachedPermissionsBoundary
	Tags                     []Tag `wire:",omitempty"`
	RoleLastUsed             *RoleLastUsed
}

// A RoleLastUsed says when a session of a role last made a request. It is empty
// if none did.
type RoleLastUsed struct {
	LastUsedDate *time.Time
	Region       string `wire:",omitempty"`
}

// An AttachedPermissionsBoundary names the policy that limits a user or role.
type AttachedPermissionsBoundary struct {
	PermissionsBoundaryType string // always "PermissionsBoundaryPolicy"
	PermissionsBoundaryArn  string
}

// A User as operations return it. Lists leave out boundary and tags.
type User struct {
	Path                string
	UserName            string `wire:",omitempty"` // empty for a root user
	UserId              string
	Arn                 string
	CreateDate          time.Time
	PermissionsBoundary *AttachedPermissionsBoundary
	Tags                []Tag `wire:",omitempty"`
}

// A Policy is a managed policy as operations return it. Lists leave out
// description and tags.
type Policy struct {
	PolicyName                    string
	PolicyId                      string
	Arn                           string
	Path                          string
	DefaultVersionId              string
	AttachmentCount               int
	PermissionsBoundaryUsageCount int
	IsAttachable                  bool
	Description                   string `wire:",omitempty"`
	CreateDate                    time.Time
	UpdateDate                    time.Time
	Tags                          []Tag `wire:",omitempty"`
}

// A PolicyVersion is a version of a managed policy. Lists leave the document
// out.
type PolicyVersion struct {
	Document         string `wire:",omitempty"` // URL-encoded JSON (RFC 3986)
	VersionId        string
	IsDefaultVersion bool
	CreateDate       time.Time
}

// An AttachedPolicy is a managed policy that is attached to a user or role.
type AttachedPolicy struct {
	PolicyName string
	PolicyArn  string
}

// An AccessKey is a new access key. This is the only time its secret is shown.
type AccessKey struct {
	UserName        string
	AccessKeyId     string
	Status          string // "Active" or "Inactive"
	SecretAccessKey string
	CreateDate      time.Time
}

// An AccessKeyMetadata is an access key without its secret.
type AccessKeyMetadata struct {
	UserName    string `wire:",omitempty"`
	AccessKeyId string
	Status      string
	CreateDate  time.Time
}

// role returns a role with everything GetRole shows.
func (s *Service) role(r *directory.Role) Role {
	shape := s.listedRole(r)
	shape.PermissionsBoundary = boundary(&r.Identity)
	shape.Tags = r.Tags
	shape.RoleLastUsed = &RoleLastUsed{}
	if use, ok := s.directory.RoleLastUse(r.ID); ok {
		at := date(use.At)
		shape.RoleLastUsed = &RoleLastUsed{LastUsedDate: &at, Region: use.Region}
	}
	return shape
}

func (s *Service) listedRole(r *directory.Role) Role {
	return Role{
		Path: r.Path, RoleName: r.Name, RoleId: r.ID, Arn: r.ARN(), CreateDate: date(r.Created),
		AssumeRolePolicyDocument: encode(s.latest().Text(r.Trust)),
		Description:              r.Description,
		MaxSessionDuration:       int(r.MaxSessionDuration / time.Second),
	}
}

func user(u *directory.User) User {
	shape := listedUser(u)
	shape.PermissionsBoundary = boundary(&u.Identity)
	shape.Tags = u.Tags
	return shape
}

func listedUser(u *directory.User) User {
	return User{Path: u.Path, UserName: u.Name, UserId: u.ID, Arn: u.ARN(), CreateDate: date(u.Created)}
}

func boundary(i *directory.Identity) *AttachedPermissionsBoundary {
	if i.Boundary == "" {
		return nil
	}
	return &AttachedPermissionsBoundary{PermissionsBoundaryType: "PermissionsBoundaryPolicy", PermissionsBoundaryArn: i.Boundary}
}

func listedPolicy(p *directory.ManagedPolicy, attached, bounded int) Policy {
	return Policy{
		PolicyName: p.Name, PolicyId: p.ID, Arn: p.ARN(), Path: p.Path, DefaultVersionId: p.Default,
		AttachmentCount: attached, PermissionsBoundaryUsageCount: bounded, IsAttachable: true,
		CreateDate: date(p.Created), UpdateDate: date(p.Updated),
	}
}

func attachedPolicy(arn string) AttachedPolicy {
	return AttachedPolicy{PolicyName: arn[strings.LastIndexByte(arn, '/')+1:], PolicyArn: arn}
}

func keyMetadata(userName string, k directory.AccessKey) AccessKeyMetadata {
	return AccessKeyMetadata{UserName: userName, AccessKeyId: k.ID, Status: status(k.Active), CreateDate: date(k.Created)}
}

func status(active bool) string {
	if active {
		return "Active"
	}
	return "Inactive"
}

// encode writes a document as IAM returns documents: URL-encoded by RFC 3986,
// where a space is %20.
func encode(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}

// date returns a time as IAM shows times: in whole seconds.
func date(t time.Time) time.Time { return t.Truncate(time.Second) }
