package cfnapi

import (
	"archive/zip"
	"bytes"

	"github.com/crossaccount/crossaccount/sandbox/internal/lambdaapi"
)

// lambdaTypes returns the types of AWS::Lambda.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_Lambda.html
func lambdaTypes(lambda *lambdaapi.Service) []resourceType {
	t := functionResources{lambda}
	function := map[string]property{
		"Architectures": {kind: textList, replaces: true},
		"Code":          {kind: objectValue, required: true, fields: map[string]property{"ZipFile": {required: true}, "ImageUri": {unsupported: true}, "S3Bucket": {unsupported: true}, "S3Key": {unsupported: true}, "S3ObjectVersion": {unsupported: true}, "SourceKMSKeyArn": {unsupported: true}}},
		"Description":   {}, "FunctionName": {replaces: true}, "Handler": {required: true}, "MemorySize": {kind: numberValue}, "PackageType": {replaces: true},
		"Role": {required: true}, "Runtime": {required: true}, "Tags": tagsProperty, "Timeout": {kind: numberValue},
		"Environment": {kind: objectValue, fields: map[string]property{"Variables": {kind: anyObject}}},
	}
	for name := range setOf(`CapacityProviderConfig CodeSigningConfigArn DeadLetterConfig DurableConfig EphemeralStorage FileSystemConfigs FunctionScalingConfig
		ImageConfig KmsKeyArn Layers LoggingConfig PublishToLatestPublished RecursiveLoop ReservedConcurrentExecutions RuntimeManagementConfig SnapStart TenancyConfig TracingConfig VpcConfig`) {
		function[name] = property{unsupported: true}
	}
	permission := map[string]property{"InvokedViaFunctionUrl": {kind: boolValue, replaces: true}}
	for name := range setOf("EventSourceToken FunctionUrlAuthType PrincipalOrgID SourceAccount SourceArn") {
		permission[name] = property{replaces: true}
	}
	for name := range setOf("Action FunctionName Principal") {
		permission[name] = property{required: true, replaces: true}
	}
	mapping := map[string]property{
		"BatchSize": {kind: numberValue}, "Enabled": {kind: boolValue}, "EventSourceArn": {required: true, replaces: true},
		"FunctionName": {required: true, replaces: true}, "StartingPosition": {replaces: true},
	}
	for name := range setOf(`AmazonManagedKafkaEventSourceConfig BisectBatchOnFunctionError DestinationConfig DocumentDBEventSourceConfig FilterCriteria FunctionResponseTypes
		KmsKeyArn LoggingConfig MaximumBatchingWindowInSeconds MaximumRecordAgeInSeconds MaximumRetryAttempts MetricsConfig ParallelizationFactor ProvisionedPollerConfig Queues ScalingConfig
		SelfManagedEventSource SelfManagedKafkaEventSourceConfig SourceAccessConfigurations StartingPositionTimestamp Tags Topics TumblingWindowInSeconds`) {
		mapping[name] = property{unsupported: true}
	}
	return []resourceType{
		{
			name: "AWS::Lambda::Function", tagged: true,
			properties: function,
			attributes: []string{"Arn"},
			create:     t.createFunction, update: t.updateFunction, delete: t.deleteFunction,
		},
		{
			name:       "AWS::Lambda::Permission",
			properties: permission,
			attributes: []string{"Id"},
			create:     t.addPermission, update: func(*job) error { return nil }, delete: t.removePermission,
		},
		{
			name:       "AWS::Lambda::EventSourceMapping",
			properties: mapping,
			attributes: []string{"EventSourceMappingArn", "Id"},
			create:     t.createMapping, update: t.updateMapping, delete: t.deleteMapping,
		},
	}
}

// functionResources does the work of the AWS::Lambda types.
type functionResources struct{ lambda *lambdaapi.Service }

// archive makes a deployment package of source code, as CloudFormation does.
func archive(source string) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("index")
	if err != nil {
		return nil, err
	}
	if _, err := w.Write([]byte(source)); err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}

func (t functionResources) settings(j *job) lambdaapi.Settings {
	description := j.text("Description")
	in := lambdaapi.Settings{Runtime: j.text("Runtime"), Handler: j.text("Handler"), Description: &description, Timeout: 3, MemorySize: 128, Environment: &lambdaapi.Environment{Variables: make(map[string]string)}}
	if n := j.number("Timeout"); n != nil {
		in.Timeout = *n
	}
	if n := j.number("MemorySize"); n != nil {
		in.MemorySize = *n
	}
	if environment := j.properties.Get("Environment"); environment != nil {
		if variables := environment.Get("Variables"); variables != nil {
			for _, e := range variables.Entries {
				in.Environment.Variables[e.Key] = e.Value.Text
			}
		}
	}
	return in
}

func (t functionResources) createFunction(j *job) error {
	code, err := archive(textOf(j.properties.Get("Code"), "ZipFile"))
	if err != nil {
		return err
	}
	in := &lambdaapi.CreateFunctionInput{
		FunctionName: j.nameOrNew("FunctionName", 64), Role: j.text("Role"), PackageType: j.text("PackageType"), Architectures: list(j.properties, "Architectures"),
		Tags: tagMap(j.tags), Settings: t.settings(j),
	}
	in.Code.ZipFile = code
	out, err := t.lambda.CreateFunction(j.call, in)
	if err != nil {
		return err
	}
	j.physicalID, j.attributes["Arn"] = out.FunctionName, out.FunctionARN
	return nil
}

func (t functionResources) updateFunction(j *job) error {
	if j.changed("Code") {
		return invalid("the sandbox does not support changes of the property Code")
	}
	out, err := t.lambda.UpdateFunctionConfiguration(j.call, &lambdaapi.UpdateFunctionConfigurationInput{FunctionName: j.physicalID, Role: j.text("Role"), Settings: t.settings(j)})
	if err != nil {
		return err
	}
	j.attributes["Arn"] = out.FunctionARN
	set, remove := diffTags(j.oldTags, j.tags)
	if len(remove) > 0 {
		if err := t.lambda.UntagResource(j.call, out.FunctionARN, remove); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		return t.lambda.TagResource(j.call, out.FunctionARN, tagMap(set))
	}
	return nil
}

func (t functionResources) deleteFunction(j *job) error {
	return unlessGone(t.lambda.DeleteFunction(j.call, &lambdaapi.FunctionInput{FunctionName: j.physicalID}))
}

func (t functionResources) addPermission(j *job) error {
	sid := j.newName(100)
	in := &lambdaapi.AddPermissionInput{
		FunctionName: j.text("FunctionName"), StatementID: sid, Action: j.text("Action"), Principal: j.text("Principal"), SourceARN: j.text("SourceArn"),
		SourceAccount: j.text("SourceAccount"), EventSourceToken: j.text("EventSourceToken"), PrincipalOrgID: j.text("PrincipalOrgID"), FunctionURLAuthType: j.text("FunctionUrlAuthType"),
	}
	if isTrue(j.properties, "InvokedViaFunctionUrl") {
		yes := true
		in.InvokedViaFunctionURL = &yes
	}
	if _, err := t.lambda.AddPermission(j.call, in); err != nil {
		return err
	}
	j.physicalID, j.attributes["Id"] = sid, sid
	return nil
}

func (t functionResources) removePermission(j *job) error {
	return unlessGone(t.lambda.RemovePermission(j.call, j.text("FunctionName"), j.physicalID, ""))
}

func (t functionResources) createMapping(j *job) error {
	enabled := j.properties.Get("Enabled") == nil || isTrue(j.properties, "Enabled")
	out, err := t.lambda.CreateEventSourceMapping(j.call, &lambdaapi.MappingInput{
		EventSourceARN: j.text("EventSourceArn"), FunctionName: j.text("FunctionName"), Enabled: &enabled, BatchSize: j.number("BatchSize"), StartingPosition: j.text("StartingPosition"),
	})
	if err != nil {
		return err
	}
	j.physicalID = out.UUID
	j.attributes["Id"], j.attributes["EventSourceMappingArn"] = out.UUID, out.EventSourceMappingARN
	return nil
}

func (t functionResources) updateMapping(j *job) error {
	enabled := j.properties.Get("Enabled") == nil || isTrue(j.properties, "Enabled")
	out, err := t.lambda.UpdateEventSourceMapping(j.call, &lambdaapi.UpdateMappingInput{UUID: j.physicalID, Enabled: &enabled, BatchSize: j.number("BatchSize")})
	if err != nil {
		return err
	}
	j.attributes["Id"], j.attributes["EventSourceMappingArn"] = out.UUID, out.EventSourceMappingARN
	return nil
}

func (t functionResources) deleteMapping(j *job) error {
	_, err := t.lambda.DeleteEventSourceMapping(j.call, j.physicalID)
	return unlessGone(err)
}
