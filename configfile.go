package crossaccount

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"time"
)

// ParseConfig reads a configuration file: the fields of [Config] and, beside
// them, the options that are plain values:
//
//	broker_role_arn, probe_role_arn, canary_role_arn, permissions_boundary,
//	tags, self_inspection, presigned_templates, patience, pending_for
//
// Unknown keys are refused. Values are checked by [New] only, so that a program
// can fill in what the file leaves out.
func ParseConfig(data []byte) (*Config, []Option, error) {
	var file struct {
		configFields
		SessionDuration jsonDuration `json:"session_duration"`

		BrokerRoleARN       string            `json:"broker_role_arn"`
		ProbeRoleARN        string            `json:"probe_role_arn"`
		CanaryRoleARN       string            `json:"canary_role_arn"`
		PermissionsBoundary string            `json:"permissions_boundary"`
		Tags                map[string]string `json:"tags"`
		SelfInspection      *bool             `json:"self_inspection"`
		PresignedTemplates  jsonDuration      `json:"presigned_templates"`
		Patience            *jsonDuration     `json:"patience"`
		PendingFor          jsonDuration      `json:"pending_for"`
	}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, nil, NewError(CodeInvalidConfig, "configuration: "+jsonProblem(err), "", nil)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, nil, NewError(CodeInvalidConfig, "configuration: there is something after the JSON object", "", nil)
	}
	config := Config(file.configFields)
	config.SessionDuration = time.Duration(file.SessionDuration)

	var options []Option
	add := func(given bool, option Option) {
		if given {
			options = append(options, option)
		}
	}
	add(file.BrokerRoleARN != "", WithBrokerRole(file.BrokerRoleARN))
	add(file.ProbeRoleARN != "", WithProbeRole(file.ProbeRoleARN))
	add(file.CanaryRoleARN != "", WithCanaryRole(file.CanaryRoleARN))
	add(file.PermissionsBoundary != "", WithPermissionsBoundary(file.PermissionsBoundary))
	add(len(file.Tags) > 0, WithTags(file.Tags))
	add(file.PresignedTemplates != 0, WithPresignedTemplates(time.Duration(file.PresignedTemplates)))
	add(file.PendingFor != 0, WithPendingFor(time.Duration(file.PendingFor)))
	if file.SelfInspection != nil {
		options = append(options, WithSelfInspection(*file.SelfInspection))
	}
	if file.Patience != nil {
		options = append(options, WithPatience(time.Duration(*file.Patience)))
	}
	return &config, options, nil
}

// jsonProblem words a decoder's error for people who do not know Go.
func jsonProblem(err error) string {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		// The fields of Config are embedded, and its name is of no use here.
		field := strings.TrimPrefix(wrongType.Field, "configFields.")
		problem := field + ": cannot be a JSON " + wrongType.Value
		if wrongType.Value == "number" && wrongType.Type.Kind() == reflect.String {
			problem += "; write it in quotes"
		}
		return problem
	case errors.As(err, &wrongType):
		return "must be a JSON object, not a JSON " + wrongType.Value
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the JSON ends too early"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}
