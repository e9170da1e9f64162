package crossaccount

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
)

// MemoryStorage is a [CredentialStorage] that forgets everything when the
// process ends: for tests, demonstrations and trying things out.
type MemoryStorage struct {
	mu           sync.Mutex
	integrations map[recordKey]*Integration
	externalIDs  map[string]recordKey // :: blind index → the first integration that stored it; never shrinks
	roles        map[string]recordKey // :: RoleKey → the integration that uses it
	pending      map[recordKey]string // :: customer and PendingKey → integration id
	audit        []AuditRecord        // in order of writing
	auditIDs     map[string]bool
	outbox       []Event
	events       map[string]bool // :: ids of all events ever written
}

// A recordKey names a record within a customer.
type recordKey struct{ customer, id string }

// NewMemoryStorage returns an empty storage.
func NewMemoryStorage() *MemoryStorage {
	return &MemoryStorage{
		integrations: make(map[recordKey]*Integration),
		externalIDs:  make(map[string]recordKey),
		roles:        make(map[string]recordKey),
		pending:      make(map[recordKey]string),
		auditIDs:     make(map[string]bool),
		events:       make(map[string]bool),
	}
}

// MarshalJSON dumps everything that is stored, as somebody who stole the
// storage would see it.
func (m *MemoryStorage) MarshalJSON() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dump := struct {
		Integrations []*Integration    `json:"integrations"`
		ExternalIDs  map[string]string `json:"external_id_indexes"`
		Audit        []AuditRecord     `json:"audit"`
		Outbox       []Event           `json:"outbox"`
	}{ExternalIDs: make(map[string]string), Audit: m.audit, Outbox: m.outbox}
	for _, key := range m.sortedKeys() {
		dump.Integrations = append(dump.Integrations, m.integrations[key])
	}
	for index, key := range m.externalIDs {
		dump.ExternalIDs[base64.StdEncoding.EncodeToString([]byte(index))] = key.id
	}
	return json.Marshal(dump)
}

// Create implements [CredentialStorage].
func (m *MemoryStorage) Create(ctx context.Context, integration *Integration, change Change) error {
	if ctx.Err() != nil {
		return cancelled(ctx.Err())
	}
	if err := integration.Validate(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, exists := m.integrations[keyOf(integration)]; exists {
		return conflict("the customer already has an integration with this id")
	}
	if err := m.checkClaims(integration); err != nil {
		return err
	}
	m.put(integration, nil, 1, change)
	return nil
}

// Update implements [CredentialStorage].
func (m *MemoryStorage) Update(ctx context.Context, integration *Integration, change Change) error {
	if ctx.Err() != nil {
		return cancelled(ctx.Err())
	}
	if err := integration.Validate(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, exists := m.integrations[keyOf(integration)]
	switch {
	case !exists:
		return UnknownIntegration()
	case old.Version != integration.Version:
		return conflict("the integration was changed in the meantime")
	case !old.State.CanBecome(integration.State):
		return IllegalMove(old.State, integration.State)
	case !old.CreatedAt.Equal(integration.CreatedAt):
		return NewError(CodeInvalidRequest, "created_at: cannot be changed", "", nil)
	}
	if err := m.checkClaims(integration); err != nil {
		return err
	}
	m.put(integration, old, old.Version+1, change)
	return nil
}

// checkClaims refuses what another integration has claimed.
func (m *MemoryStorage) checkClaims(integration *Integration) error {
	key := keyOf(integration)
	if index := string(integration.ExternalIDIndex); index != "" {
		if owner, taken := m.externalIDs[index]; taken && owner != key {
			return conflict("the external ID was used before")
		}
	}
	if integration.State == StateRevoked {
		return nil
	}
	if integration.RoleARN != "" {
		if owner, taken := m.roles[roleKeyOf(integration.RoleARN)]; taken && owner != key {
			return RoleTaken()
		}
	}
	if integration.PendingKey != "" {
		if owner, taken := m.pending[recordKey{integration.CustomerID, integration.PendingKey}]; taken && owner != integration.ID {
			return conflict("the customer already has a pending integration")
		}
	}
	return nil
}

// put stores a record whose claims were checked, and moves its claims.
func (m *MemoryStorage) put(integration, old *Integration, version int64, change Change) {
	key := keyOf(integration)
	if old != nil {
		if old.RoleARN != "" && m.roles[roleKeyOf(old.RoleARN)] == key {
			delete(m.roles, roleKeyOf(old.RoleARN))
		}
		if pending := (recordKey{old.CustomerID, old.PendingKey}); m.pending[pending] == old.ID {
			delete(m.pending, pending)
		}
	}
	integration.Version = version
	if len(integration.ExternalIDIndex) > 0 {
		m.externalIDs[string(integration.ExternalIDIndex)] = key
	}
	if integration.State != StateRevoked {
		if integration.RoleARN != "" {
			m.roles[roleKeyOf(integration.RoleARN)] = key
		}
		if integration.PendingKey != "" {
			m.pending[recordKey{integration.CustomerID, integration.PendingKey}] = integration.ID
		}
	}
	stored := cloneOf(integration)
	stored.inUTC()
	m.integrations[key] = stored
	m.appendAudit(change.Audit)
	for _, event := range change.Events {
		if !m.events[event.ID] {
			m.events[event.ID] = true
			kept := cloneOf(event)
			kept.Time = kept.Time.UTC()
			m.outbox = append(m.outbox, kept)
		}
	}
}

func (m *MemoryStorage) appendAudit(records []AuditRecord) {
	for _, record := range records {
		if !m.auditIDs[record.ID] {
			m.auditIDs[record.ID] = true
			kept := cloneOf(record)
			kept.Time = kept.Time.UTC()
			m.audit = append(m.audit, kept)
		}
	}
}

// Get implements [CredentialStorage].
func (m *MemoryStorage) Get(ctx context.Context, customerID, integrationID string) (*Integration, error) {
	if ctx.Err() != nil {
		return nil, cancelled(ctx.Err())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	stored, ok := m.integrations[recordKey{customerID, integrationID}]
	if !ok {
		return nil, UnknownIntegration()
	}
	return cloneOf(stored), nil
}

// List implements [CredentialStorage].
func (m *MemoryStorage) List(ctx context.Context, query IntegrationQuery) (*IntegrationPage, error) {
	if ctx.Err() != nil {
		return nil, cancelled(ctx.Err())
	}
	if err := query.Validate(); err != nil {
		return nil, err
	}
	after, err := decodeCursor(query.Cursor)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	page := &IntegrationPage{}
	for _, key := range m.sortedKeys() {
		stored := m.integrations[key]
		if query.Cursor != "" && compareKeys(key, recordKey{after[0], after[1]}) <= 0 || !query.selects(stored) {
			continue
		}
		if len(page.Integrations) == pageLimit(query.Limit) {
			last := page.Integrations[len(page.Integrations)-1]
			page.Next = encodeCursor(last.CustomerID, last.ID)
			break
		}
		page.Integrations = append(page.Integrations, cloneOf(stored))
	}
	return page, nil
}

func (q *IntegrationQuery) selects(i *Integration) bool {
	return (q.AllCustomers || i.CustomerID == q.CustomerID) &&
		(len(q.States) == 0 || slices.Contains(q.States, i.State)) &&
		(q.AccountID == "" || i.AccountID == q.AccountID) &&
		(q.CheckedBefore.IsZero() || i.CheckedAt.Before(q.CheckedBefore))
}

// RoleOwner implements [CredentialStorage].
func (m *MemoryStorage) RoleOwner(ctx context.Context, role iam.RoleARN) (customerID, integrationID string, err error) {
	if ctx.Err() != nil {
		return "", "", cancelled(ctx.Err())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	owner := m.roles[RoleKey(role)]
	return owner.customer, owner.id, nil
}

// AppendAudit implements [CredentialStorage].
func (m *MemoryStorage) AppendAudit(ctx context.Context, records ...AuditRecord) error {
	if ctx.Err() != nil {
		return cancelled(ctx.Err())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.appendAudit(records)
	return nil
}

// ListAudit implements [CredentialStorage].
func (m *MemoryStorage) ListAudit(ctx context.Context, query AuditQuery) (*AuditPage, error) {
	if ctx.Err() != nil {
		return nil, cancelled(ctx.Err())
	}
	if err := query.Validate(); err != nil {
		return nil, err
	}
	after, err := decodeCursor(query.Cursor)
	if err != nil {
		return nil, err
	}
	position := AuditRecord{ID: after[1]}
	if query.Cursor != "" {
		if position.Time, err = time.Parse(time.RFC3339Nano, after[0]); err != nil {
			return nil, unknownCursor()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var selected []AuditRecord
	for _, record := range m.audit {
		if query.selects(&record) && (query.Cursor == "" || newer(position, record) < 0) {
			selected = append(selected, record)
		}
	}
	slices.SortFunc(selected, newer)
	page := &AuditPage{}
	if limit := pageLimit(query.Limit); len(selected) > limit {
		selected = selected[:limit]
		last := selected[limit-1]
		page.Next = encodeCursor(last.Time.Format(time.RFC3339Nano), last.ID)
	}
	for _, record := range selected {
		page.Records = append(page.Records, cloneOf(record))
	}
	return page, nil
}

// newer orders audit records: newest first, those of one moment by id.
func newer(a, b AuditRecord) int {
	if c := b.Time.Compare(a.Time); c != 0 {
		return c
	}
	return strings.Compare(b.ID, a.ID)
}

func (q *AuditQuery) selects(r *AuditRecord) bool {
	return (q.AllCustomers || r.CustomerID == q.CustomerID) &&
		(q.IntegrationID == "" || r.IntegrationID == q.IntegrationID) &&
		(q.From.IsZero() || !r.Time.Before(q.From)) &&
		(q.Until.IsZero() || r.Time.Before(q.Until))
}

// Outbox implements [CredentialStorage].
func (m *MemoryStorage) Outbox(ctx context.Context, limit int) ([]Event, error) {
	if ctx.Err() != nil {
		return nil, cancelled(ctx.Err())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var events []Event
	for _, event := range m.outbox[:min(len(m.outbox), pageLimit(limit))] {
		events = append(events, cloneOf(event))
	}
	return events, nil
}

// Acknowledge implements [CredentialStorage].
func (m *MemoryStorage) Acknowledge(ctx context.Context, eventIDs ...string) error {
	if ctx.Err() != nil {
		return cancelled(ctx.Err())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outbox = slices.DeleteFunc(m.outbox, func(e Event) bool { return slices.Contains(eventIDs, e.ID) })
	return nil
}

func (m *MemoryStorage) sortedKeys() []recordKey {
	keys := make([]recordKey, 0, len(m.integrations))
	for key := range m.integrations {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, compareKeys)
	return keys
}

func compareKeys(a, b recordKey) int {
	if c := strings.Compare(a.customer, b.customer); c != 0 {
		return c
	}
	return strings.Compare(a.id, b.id)
}

func keyOf(i *Integration) recordKey { return recordKey{i.CustomerID, i.ID} }

// roleKeyOf returns the key of an ARN that Validate has accepted.
func roleKeyOf(arn string) string {
	role, err := iam.ParseRoleARN(arn)
	if err != nil {
		return arn
	}
	return RoleKey(role)
}

// inUTC moves all times of a record to UTC.
func (i *Integration) inUTC() {
	i.CreatedAt, i.UpdatedAt, i.LinkedAt = i.CreatedAt.UTC(), i.UpdatedAt.UTC(), i.LinkedAt.UTC()
	i.ActivatedAt, i.CheckedAt = i.ActivatedAt.UTC(), i.CheckedAt.UTC()
	i.Verification.inUTC()
	if i.Candidate != nil {
		i.Candidate.PresentedAt = i.Candidate.PresentedAt.UTC()
		i.Candidate.Report.inUTC()
	}
}

func (r *Report) inUTC() {
	if r != nil {
		r.StartedAt, r.FinishedAt = r.StartedAt.UTC(), r.FinishedAt.UTC()
	}
}

// cloneOf copies a record deeply, through the same JSON that other storages
// write, so that they cannot differ in what they keep.
func cloneOf[T any](value T) T {
	data, err := json.Marshal(value)
	if err != nil {
		panic("crossaccount: a record cannot be encoded: " + err.Error()) // they hold plain values only
	}
	var clone T
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&clone); err != nil {
		panic("crossaccount: a record cannot be read back: " + err.Error())
	}
	return clone
}

func pageLimit(limit int) int {
	if limit <= 0 || limit > MaxPage {
		return MaxPage
	}
	return limit
}

// A cursor is the pair of values after which a listing continues.
func encodeCursor(first, second string) string {
	data, _ := json.Marshal([2]string{first, second})
	return base64.RawURLEncoding.EncodeToString(data)
}

func decodeCursor(cursor string) (after [2]string, err error) {
	if cursor == "" {
		return after, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(data, &after)
	}
	if err != nil {
		return after, unknownCursor()
	}
	return after, nil
}

func unknownCursor() *Error {
	return NewError(CodeInvalidRequest, "cursor: is not one that this storage made", "leave it empty to start again", nil)
}

func conflict(message string) *Error {
	return NewError(CodeConflict, message, "read it again and retry", nil)
}

func cancelled(cause error) *Error {
	return NewError(CodeCancelled, "the call ended before it was finished", "", cause)
}

// storedTime returns t at the precision every storage can keep.
func storedTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
