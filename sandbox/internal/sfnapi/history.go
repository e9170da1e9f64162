package sfnapi

import (
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi/asl"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// ListExecutionsInput is the input of ListExecutions.
type ListExecutionsInput struct {
	MachineInput
	PageInput
	Status  asl.Status `json:"statusFilter"`
	MapRun  string     `json:"mapRunArn"`
	Redrive string     `json:"redriveFilter"`
}

// ExecutionEntry is an execution in a list.
type ExecutionEntry struct {
	ARN          string          `json:"executionArn"`
	MachineARN   string          `json:"stateMachineArn"`
	Name         string          `json:"name"`
	Status       asl.Status      `json:"status"`
	Start        *wire.Timestamp `json:"startDate"`
	Stop         *wire.Timestamp `json:"stopDate,omitempty"`
	RedriveCount int             `json:"redriveCount"`
}

// ExecutionList is the output of ListExecutions.
type ExecutionList struct {
	Executions []ExecutionEntry `json:"executions"`
	NextToken  string           `json:"nextToken,omitempty"`
}

// ListExecutions lists the executions of a Standard state machine, newest first.
func (s *Service) ListExecutions(c *authz.Call, in *ListExecutionsInput) (*ExecutionList, error) {
	if in.MapRun != "" || in.Redrive != "" {
		return nil, wire.NotImplemented("states", "ListExecutions with mapRunArn or redriveFilter")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.find(c, in.ARN, "ListExecutions", nil)
	if err != nil {
		return nil, err
	}
	if m.kind == asl.Express {
		return nil, wire.BadRequest("StateMachineTypeNotSupported", "This operation is not supported by this type of state machine")
	}
	var found []*execution
	for _, e := range s.executions {
		if e.machine == m && (in.Status == "" || e.status() == in.Status) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *execution) int {
		if n := b.started.Compare(a.started); n != 0 {
			return n
		}
		return strings.Compare(a.arn, b.arn)
	})
	// Tokens count from the oldest, so that new executions do no harm.
	page, next, err := window(found, in.PageInput, 100)
	if err != nil {
		return nil, err
	}
	out := &ExecutionList{Executions: []ExecutionEntry{}, NextToken: next}
	for _, e := range page {
		d := e.describe(false)
		out.Executions = append(out.Executions, ExecutionEntry{e.arn, m.arn, e.name, d.Status, d.Start, d.Stop, 0})
	}
	return out, nil
}

// window cuts a page out of a list that grows at its beginning. A token is how
// many entries are left.
func window[T any](list []T, in PageInput, usual int) ([]T, string, error) {
	if in.MaxResults < 0 || in.MaxResults > 1000 {
		return nil, "", invalid("Value '%d' at 'maxResults' failed to satisfy constraint: Member must be between 0 and 1000", in.MaxResults)
	}
	if in.NextToken != "" {
		left, err := strconv.Atoi(in.NextToken)
		if err != nil || left < 0 {
			return nil, "", wire.BadRequest("InvalidToken", "Invalid Token: '%s'", wire.Clip(in.NextToken))
		}
		list = list[max(len(list)-left, 0):]
	}
	limit := in.MaxResults
	if limit == 0 {
		limit = usual
	}
	if len(list) <= limit {
		return list, "", nil
	}
	return list[:limit], strconv.Itoa(len(list) - limit), nil
}

// HistoryInput is the input of GetExecutionHistory.
type HistoryInput struct {
	ARN string `json:"executionArn"`
	PageInput
	Reverse bool  `json:"reverseOrder"`
	Data    *bool `json:"includeExecutionData"`
}

// History is the output of GetExecutionHistory.
type History struct {
	Events    []map[string]any `json:"events"`
	NextToken string           `json:"nextToken,omitempty"`
}

// GetExecutionHistory shows the events of an execution of a Standard state
// machine. They hold the data of the execution unless the caller does not want
// it: the logging configuration has no influence on that.
//
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_GetExecutionHistory.html
func (s *Service) GetExecutionHistory(c *authz.Call, in *HistoryInput) (*History, error) {
	s.mu.Lock()
	e, err := s.findExecution(c, in.ARN, "GetExecutionHistory")
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	e.events.Lock()
	defer e.events.Unlock()
	start, limit := 0, in.MaxResults
	if limit < 0 || limit > 1000 {
		return nil, invalid("Value '%d' at 'maxResults' failed to satisfy constraint: Member must be between 0 and 1000", limit)
	}
	if limit == 0 {
		limit = 100
	}
	if in.NextToken != "" {
		if start, err = strconv.Atoi(in.NextToken); err != nil || start < 0 || start > len(e.history) {
			return nil, wire.BadRequest("InvalidToken", "Invalid Token: '%s'", wire.Clip(in.NextToken))
		}
	}
	out := &History{Events: []map[string]any{}}
	data := in.Data == nil || *in.Data
	for i := start; i < min(start+limit, len(e.history)); i++ {
		event := e.history[i]
		if in.Reverse {
			event = e.history[len(e.history)-1-i]
		}
		out.Events = append(out.Events, show(event, data))
	}
	if start+limit < len(e.history) {
		out.NextToken = strconv.Itoa(start + limit)
	}
	return out, nil
}

// show writes an event as the API does, with or without its data.
func show(e *asl.Event, data bool) map[string]any {
	out := map[string]any{"id": e.ID, "previousEventId": e.Previous, "timestamp": wire.At(e.Time), "type": e.Type}
	if e.Detail == "" {
		return out
	}
	fields := make(map[string]any, len(e.Fields))
	for name, v := range e.Fields {
		switch name {
		case "input", "output", "parameters":
			if !data {
				continue
			}
		}
		fields[name] = v
	}
	out[e.Detail] = fields
	return out
}
