package sqsapi

import (
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A BatchFailure says why one entry of a batch failed.
type BatchFailure struct {
	ID          string `json:"Id"`
	SenderFault bool
	Code        string
	Message     string
}

func failure(id string, err error) BatchFailure {
	e := wire.AsError(err)
	return BatchFailure{ID: id, SenderFault: e.Status < 500, Code: e.Code, Message: e.Message}
}

// checkBatch refuses batches as such: entries succeed and fail on their own.
func checkBatch(ids []string) error {
	seen := make(map[string]bool)
	for _, id := range ids {
		if seen[id] {
			return wire.BadRequest("BatchEntryIdsNotDistinct", "Id %s repeated.", wire.Clip(id))
		}
		if !namePattern.MatchString(id) {
			return wire.BadRequest("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		seen[id] = true
	}
	switch {
	case len(ids) == 0:
		return wire.BadRequest("EmptyBatchRequest", "There should be at least one entry in the request.")
	case len(ids) > 10:
		return wire.BadRequest("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent %d.", len(ids))
	}
	return nil
}

// SendMessageBatchInput is the input of SendMessageBatch.
type SendMessageBatchInput struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []struct {
		ID string `json:"Id"`
		SendMessageInput
	}
}

// SendMessageBatchOutput says how each entry fared.
type SendMessageBatchOutput struct {
	Successful []SentEntry    `json:"Successful"`
	Failed     []BatchFailure `json:"Failed"`
}

// A SentEntry is a message of a batch that was sent.
type SentEntry struct {
	ID string `json:"Id"`
	*SendMessageOutput
}

// SendMessageBatch sends up to ten messages.
func (s *Service) SendMessageBatch(c *authz.Call, in *SendMessageBatchInput) (*SendMessageBatchOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c, in.QueueURL, "SendMessage", nil)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range in.Entries {
		ids = append(ids, e.ID)
	}
	if err := checkBatch(ids); err != nil {
		return nil, err
	}
	out := &SendMessageBatchOutput{[]SentEntry{}, []BatchFailure{}}
	for _, e := range in.Entries {
		sent, err := s.send(c, q, &e.SendMessageInput)
		if err != nil {
			out.Failed = append(out.Failed, failure(e.ID, err))
			continue
		}
		out.Successful = append(out.Successful, SentEntry{e.ID, sent})
	}
	return out, nil
}

// DeleteMessageBatchInput is the input of DeleteMessageBatch.
type DeleteMessageBatchInput struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []struct {
		ID            string `json:"Id"`
		ReceiptHandle string
	}
}

// DeleteMessageBatchOutput says how each entry fared.
type DeleteMessageBatchOutput struct {
	Successful []DeletedEntry
	Failed     []BatchFailure
}

// A DeletedEntry is a message of a batch that was deleted.
type DeletedEntry struct {
	ID string `json:"Id"`
}

// DeleteMessageBatch deletes up to ten messages.
func (s *Service) DeleteMessageBatch(c *authz.Call, in *DeleteMessageBatchInput) (*DeleteMessageBatchOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c, in.QueueURL, "DeleteMessage", nil)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range in.Entries {
		ids = append(ids, e.ID)
	}
	if err := checkBatch(ids); err != nil {
		return nil, err
	}
	out := &DeleteMessageBatchOutput{[]DeletedEntry{}, []BatchFailure{}}
	for _, e := range in.Entries {
		if err := q.remove(e.ReceiptHandle); err != nil {
			out.Failed = append(out.Failed, failure(e.ID, err))
			continue
		}
		out.Successful = append(out.Successful, DeletedEntry{e.ID})
	}
	return out, nil
}
