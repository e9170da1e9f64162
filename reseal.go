package crossaccount

import (
	"bytes"
	"context"
	"fmt"
)

// ActionResealed is the audit record of an external ID that was sealed again.
// It has no event: nothing about the integration changed.
const ActionResealed = "integration.resealed"

// A KeyChecker is an [Encryptor] that knows which of its keys sealed a value.
// [Client.Reseal] needs one. [AESEncryptor] is one.
type KeyChecker interface {
	Encryptor

	// SealedWithActiveKey reports whether a value was sealed with the key that
	// Seal uses now. It looks at the value's header only and opens nothing.
	SealedWithActiveKey(sealed []byte) bool
}

var _ KeyChecker = (*AESEncryptor)(nil)

// SealedWithActiveKey implements [KeyChecker].
func (e *AESEncryptor) SealedWithActiveKey(sealed []byte) bool {
	return len(sealed) > 2 && sealed[0] == envelopeVersion && bytes.HasPrefix(sealed[2:], []byte(e.active.id)) && int(sealed[1]) == len(e.active.id)
}

// KeyOf returns the id of the key that a value was sealed with, or "" if the
// value is none of this package's. It opens nothing.
func KeyOf(sealed []byte) string {
	if len(sealed) < 2 || sealed[0] != envelopeVersion || len(sealed) < 2+int(sealed[1]) {
		return ""
	}
	return string(sealed[2 : 2+int(sealed[1])])
}

// A ResealProgress says how far [Client.Reseal] is.
type ResealProgress struct {
	Checked  int `json:"checked"`  // integrations whose external ID was opened or needs nothing
	Needed   int `json:"needed"`   // of these, the ones that were sealed with an older key
	Resealed int `json:"resealed"` // sealed again so far
}

// Reseal seals the external IDs of all customers' integrations again, as far as
// they are not sealed with the active key of the encryptor. Afterwards the older
// keys are needed no more. The product keeps working meanwhile: a record that
// somebody else changes is read again and loses nothing.
//
// First every value is opened, also those that need nothing, and nothing is
// written. If one does not open, or does not fit its blind index, Reseal returns
// an error with the code decrypt that names the integration, and has touched
// nothing: keys are missing or wrong, or a record was altered.
//
// Records are read in pages and written one by one. If Reseal is interrupted,
// another call continues, because what is done is recognised. Progress may be
// nil; it is called after every page, from the calling goroutine.
//
// Before: give the key set with the new key to all instances of the product,
// first to open with ([KeySet.Add]) and then to seal with ([KeySet.Activate]). An
// instance that has only the older keys cannot open what is sealed now, and one
// in which an older key is active goes on sealing with that.
func (c *Client) Reseal(ctx context.Context, progress func(ResealProgress)) (ResealProgress, error) {
	var p ResealProgress
	keys, ok := c.encryptor.(KeyChecker)
	if !ok {
		return p, NewError(CodeInvalidConfig, "the encryptor cannot tell with which key a value was sealed", "give it the method of KeyChecker", nil)
	}
	if progress == nil {
		progress = func(ResealProgress) {}
	}
	err := c.everyPage(ctx, func(page []*Integration) error {
		for _, integration := range page {
			if _, err := c.openChecked(ctx, integration); err != nil {
				return err
			}
			p.Checked++
			if needsSeal(keys, integration) {
				p.Needed++
			}
		}
		progress(p)
		return nil
	})
	if err != nil || p.Needed == 0 {
		return p, err
	}
	err = c.everyPage(ctx, func(page []*Integration) error {
		for _, integration := range page {
			if !needsSeal(keys, integration) {
				continue
			}
			done, err := c.resealOne(ctx, keys, integration)
			if err != nil {
				return err
			}
			if done {
				p.Resealed++
			}
		}
		progress(p)
		return nil
	})
	c.log.Info("crossaccount: external IDs were sealed with the active key", "checked", p.Checked, "needed", p.Needed, "resealed", p.Resealed)
	return p, err
}

func needsSeal(keys KeyChecker, integration *Integration) bool {
	return len(integration.SealedExternalID) > 0 && !keys.SealedWithActiveKey(integration.SealedExternalID)
}

// everyPage calls do with all integrations of all customers, a page at a time.
func (c *Client) everyPage(ctx context.Context, do func([]*Integration) error) error {
	query := IntegrationQuery{AllCustomers: true}
	for {
		page, err := c.storage.List(ctx, query)
		if err != nil {
			return err
		}
		if err := do(page.Integrations); err != nil {
			return err
		}
		if page.Next == "" {
			return nil
		}
		query.Cursor = page.Next
	}
}

// openChecked opens the external ID of an integration and compares it with its
// blind index, which also shows that the key of the index is the right one. An
// integration without an external ID has nothing to open.
func (c *Client) openChecked(ctx context.Context, integration *Integration) ([]byte, error) {
	if len(integration.SealedExternalID) == 0 {
		return nil, nil
	}
	where := fmt.Sprintf("integration %s of customer %s: ", clip(integration.ID), clip(integration.CustomerID))
	plain, err := c.encryptor.Open(ctx, integration.SealedExternalID, externalIDBinding(integration))
	if err != nil {
		if e, ours := err.(*Error); ours { //nolint:errorlint // an Encryptor returns it as it is
			return nil, NewError(e.Code, where+e.Message, e.Remedy, e.cause)
		}
		return nil, NewError(CodeDecrypt, where+"the external ID cannot be opened", "", err)
	}
	index, err := c.encryptor.BlindIndex(ctx, "external_id", plain)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(index, integration.ExternalIDIndex) {
		return nil, decryptError(where+"the external ID does not fit its blind index", "check that the key set is the one of this installation; if it is, restore the record")
	}
	return plain, nil
}

// resealOne reports whether it, and not somebody else, sealed the value again.
func (c *Client) resealOne(ctx context.Context, keys KeyChecker, listed *Integration) (done bool, err error) {
	_, err = c.update(ctx, listed.CustomerID, listed.ID, func(i *Integration) (Change, error) {
		done = false
		if !needsSeal(keys, i) {
			return Change{}, errNoChange
		}
		plain, err := c.openChecked(ctx, i)
		if err != nil {
			return Change{}, err
		}
		if i.SealedExternalID, err = c.encryptor.Seal(ctx, plain, externalIDBinding(i)); err != nil {
			return Change{}, err
		}
		// What cannot be opened again must not replace what can.
		again, err := c.openChecked(ctx, i)
		if err != nil {
			return Change{}, err
		}
		if !bytes.Equal(again, plain) || !keys.SealedWithActiveKey(i.SealedExternalID) {
			return Change{}, decryptError("a value that was sealed again is not what it was", "check the encryptor")
		}
		record, err := c.audited(ctx, i, ActionResealed, outcomeOK)
		if err != nil {
			return Change{}, err
		}
		done = true
		return Change{Audit: []AuditRecord{record}}, nil
	})
	return done && err == nil, err
}
