package cli

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A listedEvent is what tells the events of a CloudTrail listing apart.
type listedEvent struct {
	raw json.RawMessage

	EventID      string `json:"eventID"`
	EventTime    string `json:"eventTime"`
	EventName    string `json:"eventName"`
	ErrorCode    string `json:"errorCode"`
	ErrorMessage string `json:"errorMessage"`
	UserIdentity struct {
		ARN string `json:"arn"`
	} `json:"userIdentity"`
}

// selectEvent takes one refused event out of a CloudTrail log file or the output
// of lookup-events: the one with the id, or the only one, or any if all say the
// same. Other text stays as it is.
func selectEvent(text []byte, id string) ([]byte, error) {
	var listing struct {
		Records []json.RawMessage
		Events  []struct{ CloudTrailEvent string }
	}
	if err := json.Unmarshal(text, &listing); err != nil || len(listing.Records)+len(listing.Events) == 0 {
		if id != "" {
			return nil, fmt.Errorf("--event-id: this is no list of CloudTrail events")
		}
		return text, nil
	}
	for _, e := range listing.Events {
		listing.Records = append(listing.Records, json.RawMessage(e.CloudTrailEvent))
	}
	var refused []listedEvent
	for _, raw := range listing.Records {
		e := listedEvent{raw: raw}
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("an event of the list is not JSON: %w", err)
		}
		if id != "" && e.EventID == id {
			return raw, nil
		}
		if e.ErrorCode != "" {
			refused = append(refused, e)
		}
	}
	switch {
	case id != "":
		return nil, fmt.Errorf("--event-id: none of the %d events has the id %s", len(listing.Records), id)
	case len(refused) == 0:
		return text, nil // the reader says what is wrong with it
	}
	for _, e := range refused[1:] {
		if e.EventName != refused[0].EventName || e.UserIdentity.ARN != refused[0].UserIdentity.ARN || e.ErrorMessage != refused[0].ErrorMessage {
			return nil, severalEvents(refused)
		}
	}
	return refused[0].raw, nil
}

// severalEvents lets the reader choose.
func severalEvents(events []listedEvent) error {
	const most = 20
	var b strings.Builder
	fmt.Fprintf(&b, "%d different events failed; choose one with --event-id:", len(events))
	for i, e := range events {
		if i == most {
			fmt.Fprintf(&b, "\nand %d more", len(events)-most)
			break
		}
		fmt.Fprintf(&b, "\n%s  %s  %s  %s  %s", e.EventID, e.EventTime, e.EventName, e.ErrorCode, e.UserIdentity.ARN)
	}
	return fmt.Errorf("%s", b.String())
}
