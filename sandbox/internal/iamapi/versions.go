package iamapi

import (
	"net/http"
	"slices"

	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// CreatePolicyVersionInput is the input of CreatePolicyVersion.
type CreatePolicyVersionInput struct {
	PolicyArn      string
	PolicyDocument string
	SetAsDefault   bool
}

// CreatePolicyVersionOutput is the output of CreatePolicyVersion.
type CreatePolicyVersionOutput struct{ PolicyVersion PolicyVersion }

// CreatePolicyVersion adds a version to a managed policy, which takes effect
// only if it becomes the default.
func (s *Service) CreatePolicyVersion(c *authz.Call, in *CreatePolicyVersionInput) (*CreatePolicyVersionOutput, error) {
	if err := checkDocument(in.PolicyDocument); err != nil {
		return nil, err
	}
	if _, err := s.ownPolicy(c, in.PolicyArn, "CreatePolicyVersion", details{}); err != nil {
		return nil, err
	}
	document, err := managedDocument(in.PolicyDocument, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	var id string
	p, err := s.directory.UpdateManagedPolicy(c.Now, in.PolicyArn, func(p *directory.ManagedPolicy) error {
		if len(p.Versions) >= reference.MaxPolicyVersions {
			return limitExceeded("A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", reference.MaxPolicyVersions)
		}
		if id = p.AddVersion(document, c.Now); in.SetAsDefault {
			p.Default = id
		}
		p.Updated = c.Now
		return nil
	})
	if err != nil {
		return nil, err
	}
	v, _ := p.Version(id)
	return &CreatePolicyVersionOutput{listedVersion(p, v)}, nil
}

// PolicyVersionInput names a version of a managed policy.
type PolicyVersionInput struct{ PolicyArn, VersionId string }

// GetPolicyVersionOutput is the output of GetPolicyVersion.
type GetPolicyVersionOutput struct{ PolicyVersion PolicyVersion }

// GetPolicyVersion returns a version of a managed policy with its document.
func (s *Service) GetPolicyVersion(c *authz.Call, in *PolicyVersionInput) (*GetPolicyVersionOutput, error) {
	if err := required("versionId", in.VersionId); err != nil {
		return nil, err
	}
	p, err := s.findPolicy(c, in.PolicyArn, "GetPolicyVersion", details{})
	if err != nil {
		return nil, err
	}
	v, ok := p.Version(in.VersionId)
	if !ok {
		return nil, noSuchVersion(in)
	}
	shape := listedVersion(p, v)
	shape.Document = encode(v.Document.Text)
	return &GetPolicyVersionOutput{shape}, nil
}

// ListPolicyVersionsInput is the input of ListPolicyVersions.
type ListPolicyVersionsInput struct {
	PolicyArn string
	Paging
}

// ListPolicyVersionsOutput is the output of ListPolicyVersions.
type ListPolicyVersionsOutput struct {
	Versions []PolicyVersion
	Paged
}

// ListPolicyVersions returns the versions of a managed policy, newest first.
func (s *Service) ListPolicyVersions(c *authz.Call, in *ListPolicyVersionsInput) (*ListPolicyVersionsOutput, error) {
	after, limit, err := in.start()
	if err != nil {
		return nil, err
	}
	p, err := s.findPolicy(c, in.PolicyArn, "ListPolicyVersions", details{})
	if err != nil {
		return nil, err
	}
	out := &ListPolicyVersionsOutput{}
	skip := after != ""
	for _, v := range slices.Backward(p.Versions) {
		if skip {
			skip = v.ID != after
			continue
		}
		if len(out.Versions) == limit {
			out.Paged = paged(true, out.Versions[limit-1].VersionId)
			break
		}
		out.Versions = append(out.Versions, listedVersion(p, v))
	}
	return out, nil
}

// SetDefaultPolicyVersion puts a version of a managed policy in force.
func (s *Service) SetDefaultPolicyVersion(c *authz.Call, in *PolicyVersionInput) error {
	if err := required("versionId", in.VersionId); err != nil {
		return err
	}
	if _, err := s.ownPolicy(c, in.PolicyArn, "SetDefaultPolicyVersion", details{}); err != nil {
		return err
	}
	_, err := s.directory.UpdateManagedPolicy(c.Now, in.PolicyArn, func(p *directory.ManagedPolicy) error {
		if _, ok := p.Version(in.VersionId); !ok {
			return noSuchVersion(in)
		}
		p.Default, p.Updated = in.VersionId, c.Now
		return nil
	})
	return err
}

// DeletePolicyVersion deletes a version of a managed policy that is not its
// default.
func (s *Service) DeletePolicyVersion(c *authz.Call, in *PolicyVersionInput) error {
	if err := required("versionId", in.VersionId); err != nil {
		return err
	}
	if _, err := s.ownPolicy(c, in.PolicyArn, "DeletePolicyVersion", details{}); err != nil {
		return err
	}
	_, err := s.directory.UpdateManagedPolicy(c.Now, in.PolicyArn, func(p *directory.ManagedPolicy) error {
		at := slices.IndexFunc(p.Versions, func(v directory.PolicyVersion) bool { return v.ID == in.VersionId })
		switch {
		case at < 0:
			return noSuchVersion(in)
		case p.Default == in.VersionId:
			return wire.Errorf(http.StatusConflict, "DeleteConflict", "Cannot delete the default version of a policy.")
		}
		p.Versions, p.Updated = slices.Delete(slices.Clone(p.Versions), at, at+1), c.Now
		return nil
	})
	return err
}

func listedVersion(p *directory.ManagedPolicy, v directory.PolicyVersion) PolicyVersion {
	return PolicyVersion{VersionId: v.ID, IsDefaultVersion: v.ID == p.Default, CreateDate: date(v.Created)}
}

func noSuchVersion(in *PolicyVersionInput) error {
	return noSuchEntity("Policy %s version %s does not exist or is not attachable.", in.PolicyArn, in.VersionId)
}
