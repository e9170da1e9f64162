package s3api

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// maxBuckets is S3's default quota of general purpose buckets per account.
//
// https://docs.aws.amazon.com/general/latest/gr/s3.html#limits_s3
const maxBuckets = 10_000

type createBucketConfiguration struct {
	XMLName            xml.Name `xml:"CreateBucketConfiguration"`
	LocationConstraint string
	Location           *struct{}
	Bucket             *struct{}
	Tags               []tag `xml:"Tags>Tag"`
}

// createBucket serves CreateBucket.
func (q *request) createBucket() error {
	in, err := q.createBucketConfiguration()
	if err != nil {
		return err
	}
	return q.create(in)
}

func (q *request) create(in createBucketConfiguration) error {
	name := q.address.bucket
	if reference.CheckBucketName(name) != nil {
		return refuse(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.", "BucketName", name)
	}
	region, err := q.bucketRegion(in.LocationConstraint)
	if err != nil {
		return err
	}
	tags, err := tagMap(in.Tags, maxBucketTags)
	if err != nil {
		return err
	}
	arn := "arn:" + q.partition + ":s3:::" + name
	if err := q.authorizeAccount("s3:CreateBucket", arn, func(c *iam.Context) {
		if in.LocationConstraint != "" {
			c.Set("s3:LocationConstraint", in.LocationConstraint)
		}
	}); err != nil {
		return err
	}
	if err := q.refuseBucketOptions(); err != nil {
		return err
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	account := q.call.Caller.Principal.Account
	if existing := q.s.buckets[bucketID{q.partition, name}]; existing != nil {
		return q.recreate(existing, region)
	}
	owned := 0
	for _, b := range q.s.buckets {
		if b.owner == account {
			owned++
		}
	}
	if owned >= maxBuckets {
		return refuse(http.StatusBadRequest, "TooManyBuckets", "You have attempted to create more buckets than allowed")
	}
	b := newBucket(name, account, q.partition, region, q.call.Now)
	b.tags = tags
	q.s.buckets[bucketID{q.partition, name}] = b
	return q.bucketCreated(name)
}

// recreate answers the creation of a bucket that exists. In us-east-1, and only
// there, creating one's own bucket again is a success.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
func (q *request) recreate(b *bucket, region string) error {
	switch {
	case b.owner != q.call.Caller.Principal.Account:
		return refuse(http.StatusConflict, "BucketAlreadyExists",
			"The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.", "BucketName", b.name)
	case b.region == "us-east-1" && region == b.region:
		return q.bucketCreated(b.name)
	}
	return refuse(http.StatusConflict, "BucketAlreadyOwnedByYou",
		"Your previous request to create the named bucket succeeded and you already own it.", "BucketName", b.name)
}

func (q *request) bucketCreated(name string) error {
	q.w.Header().Set("Location", "/"+name)
	q.w.Header().Set("X-Amz-Bucket-Arn", "arn:"+q.partition+":s3:::"+name)
	q.status = http.StatusOK
	return nil
}

func (q *request) createBucketConfiguration() (createBucketConfiguration, error) {
	var in createBucketConfiguration
	body, err := q.body(maxConfigurationSize)
	if err != nil {
		return in, err
	}
	if _, err := verifyChecksums(q.http.Header, q.http.Trailer, body); err != nil {
		return in, err
	}
	if len(strings.TrimSpace(string(body))) == 0 {
		return in, nil
	}
	if err := xml.Unmarshal(body, &in); err != nil {
		return in, malformedXML()
	}
	if in.Location != nil || in.Bucket != nil {
		return in, wire.NotImplemented("s3", "directory buckets")
	}
	return in, nil
}

// bucketRegion says where to create a bucket: where the request is sent to. A
// location constraint must name the same region; only us-east-1, which has none
// of its own, creates buckets elsewhere.
func (q *request) bucketRegion(constraint string) (string, error) {
	const unconstrained = "us-east-1"
	here := q.region
	if here == "" {
		here = unconstrained
	}
	if constraint == "EU" {
		constraint = "eu-west-1"
	}
	switch {
	case constraint == "" && here == unconstrained:
		return unconstrained, nil
	case constraint == "":
		return "", refuse(http.StatusBadRequest, "IllegalLocationConstraintException",
			"The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.")
	case constraint == unconstrained:
		return "", refuse(http.StatusBadRequest, "InvalidLocationConstraint", "The specified location-constraint is not valid", "LocationConstraint", constraint)
	}
	p, ok := iam.PartitionOfRegion(constraint)
	if !ok || p.ID != q.partition {
		return "", refuse(http.StatusBadRequest, "InvalidLocationConstraint", "The specified location-constraint is not valid", "LocationConstraint", constraint)
	}
	if constraint != here && here != unconstrained {
		return "", refuse(http.StatusBadRequest, "IllegalLocationConstraintException",
			"The "+constraint+" location constraint is incompatible for the region specific endpoint this request was sent to.")
	}
	return constraint, nil
}

// refuseBucketOptions refuses what CreateBucket may ask for and the sandbox
// does not have.
func (q *request) refuseBucketOptions() error {
	if strings.EqualFold(q.header("X-Amz-Bucket-Object-Lock-Enabled"), "true") {
		return wire.NotImplemented("s3", "object lock")
	}
	if ns := q.header("X-Amz-Bucket-Namespace"); ns != "" && ns != "global" {
		return wire.NotImplemented("s3", "bucket namespace "+ns)
	}
	switch ownership := q.header("X-Amz-Object-Ownership"); ownership {
	case "", ownerEnforced:
	case "BucketOwnerPreferred", "ObjectWriter":
		return wire.NotImplemented("s3", "object ownership "+ownership+" (only "+ownerEnforced+")")
	default:
		return invalidArgument("x-amz-object-ownership", ownership, "Invalid x-amz-object-ownership header: "+ownership)
	}
	acl := q.header("X-Amz-Acl")
	if q.deniedACL() != nil && acl != "private" {
		return refuse(http.StatusBadRequest, "InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
	}
	return nil
}

// deleteBucket serves DeleteBucket.
func (q *request) deleteBucket() error {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	if err := q.authorize(b, "s3:DeleteBucket", b.arn(), nil); err != nil {
		return err
	}
	if len(b.keys) > 0 {
		message := "The bucket you tried to delete is not empty"
		if b.versioning != versioningNever {
			message += ". You must delete all versions in the bucket."
		}
		return refuse(http.StatusConflict, "BucketNotEmpty", message, "BucketName", b.name)
	}
	delete(q.s.buckets, bucketID{b.partition, b.name})
	q.status = http.StatusNoContent
	return nil
}

// headBucket serves HeadBucket.
func (q *request) headBucket() error {
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	b, err := q.bucketAnywhere()
	if err != nil {
		return err
	}
	q.w.Header().Set("X-Amz-Bucket-Region", b.region)
	if _, err := q.bucket(); err != nil {
		return err
	}
	if err := q.authorize(b, "s3:ListBucket", b.arn(), nil); err != nil {
		return err
	}
	q.w.Header().Set("X-Amz-Access-Point-Alias", "false")
	q.w.Header().Set("X-Amz-Bucket-Arn", b.arn())
	q.status = http.StatusOK
	return nil
}

type locationConstraint struct {
	XMLName xml.Name `xml:"LocationConstraint"`
	xmlns
	Region string `xml:",chardata"`
}

// getBucketLocation serves GetBucketLocation, which every region answers for
// every bucket. The location of us-east-1 is empty.
func (q *request) getBucketLocation() error {
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	b, err := q.bucketAnywhere()
	if err != nil {
		return err
	}
	if err := q.authorize(b, "s3:GetBucketLocation", b.arn(), nil); err != nil {
		return err
	}
	out := locationConstraint{xmlns: inNamespace, Region: b.region}
	if b.region == "us-east-1" {
		out.Region = ""
	}
	return q.writeXML(out)
}

type listBucketsResult struct {
	XMLName xml.Name `xml:"ListAllMyBucketsResult"`
	xmlns
	Owner             owner
	Buckets           []bucketEntry `xml:"Buckets>Bucket"`
	Prefix            string        `xml:",omitempty"`
	ContinuationToken string        `xml:",omitempty"`
}

type bucketEntry struct {
	Name         string
	CreationDate string
	BucketRegion string
	BucketArn    string
}

// listBuckets serves ListBuckets: the buckets of the caller's account.
func (q *request) listBuckets() error {
	// There is no resource for it, and policies name "*" or "arn:aws:s3:::*".
	if err := q.authorizeAccount("s3:ListAllMyBuckets", "arn:"+q.partition+":s3:::*", nil); err != nil {
		return err
	}
	limit := maxBuckets
	if text := q.query.Get("max-buckets"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxBuckets {
			return invalidArgument("max-buckets", text, "Argument max-buckets must be an integer between 1 and 10000")
		}
		limit = n
	}
	account, prefix, after := q.call.Caller.Principal.Account, q.query.Get("prefix"), q.query.Get("continuation-token")
	out := listBucketsResult{xmlns: inNamespace, Owner: owner{ID: canonicalUser(account)}, Prefix: prefix}
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	for id, b := range q.s.buckets {
		if id.partition != q.partition || b.owner != account || !strings.HasPrefix(b.name, prefix) || b.name <= after {
			continue
		}
		if region := q.query.Get("bucket-region"); region != "" && region != b.region {
			continue
		}
		out.Buckets = append(out.Buckets, bucketEntry{b.name, isoTime(b.created), b.region, b.arn()})
	}
	slices.SortFunc(out.Buckets, func(a, b bucketEntry) int { return strings.Compare(a.Name, b.Name) })
	if len(out.Buckets) > limit {
		out.Buckets = out.Buckets[:limit]
		out.ContinuationToken = out.Buckets[limit-1].Name
	}
	return q.writeXML(out)
}
