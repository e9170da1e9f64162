package dynamodbapi

import (
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
)

// TimeToLive says by which attribute items expire.
type TimeToLive struct {
	AttributeName string
	Enabled       bool
}

// UpdateTimeToLiveInput is the input of UpdateTimeToLive.
type UpdateTimeToLiveInput struct {
	TableName               string
	TimeToLiveSpecification TimeToLive
}

// UpdateTimeToLiveOutput repeats what was set.
type UpdateTimeToLiveOutput struct{ TimeToLiveSpecification TimeToLive }

// UpdateTimeToLive turns expiry on or off. Items whose attribute, a number of
// seconds since 1970, is in the past are gone.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
func (s *Service) UpdateTimeToLive(c *authz.Call, in *UpdateTimeToLiveInput) (*UpdateTimeToLiveOutput, error) {
	spec := in.TimeToLiveSpecification
	if n := len(spec.AttributeName); n < 1 || n > 255 {
		return nil, invalid("1 validation error detected: Value at 'timeToLiveSpecification.attributeName' failed to satisfy constraint: Member must have length between 1 and 255")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, reference{table: in.TableName, action: "UpdateTimeToLive"})
	if err != nil {
		return nil, err
	}
	now := t.expiry.attribute
	switch {
	case spec.Enabled && now == spec.AttributeName:
		return nil, invalid("TimeToLive is already enabled")
	case spec.Enabled && now != "":
		return nil, invalid("TimeToLive is active on a different AttributeName: current AttributeName is %s", now)
	case !spec.Enabled && now == "":
		return nil, invalid("TimeToLive is already disabled")
	case !spec.Enabled && now != spec.AttributeName:
		return nil, invalid("TimeToLive is active on a different AttributeName: current AttributeName is %s", now)
	}
	t.expiry = expiry{}
	if spec.Enabled {
		t.expiry.attribute = spec.AttributeName
		for _, i := range t.items {
			t.expiry.note(i)
		}
	}
	return &UpdateTimeToLiveOutput{spec}, nil
}

// TimeToLiveDescription says whether and how items expire.
type TimeToLiveDescription struct {
	TimeToLiveStatus string
	AttributeName    string `json:",omitempty"`
}

// DescribeTimeToLiveOutput says whether and how items expire.
type DescribeTimeToLiveOutput struct{ TimeToLiveDescription TimeToLiveDescription }

// DescribeTimeToLive says whether and how items expire.
func (s *Service) DescribeTimeToLive(c *authz.Call, in *TableInput) (*DescribeTimeToLiveOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(c, reference{table: in.TableName, action: "DescribeTimeToLive"})
	if err != nil {
		return nil, err
	}
	d := TimeToLiveDescription{"DISABLED", ""}
	if t.expiry.attribute != "" {
		d = TimeToLiveDescription{"ENABLED", t.expiry.attribute}
	}
	return &DescribeTimeToLiveOutput{d}, nil
}
