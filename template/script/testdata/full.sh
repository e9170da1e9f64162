#!/bin/sh
# Everything a stack can have
# made by a test, version 7
# content afbc83ba15b9e058562be236cde0104a3d455f7bc9d1143ebc19fff516a89235
# Run it with --help to see what it takes; with "remove" it undoes everything.

set -euf
LC_ALL=C AWS_PAGER=''
export LC_ALL AWS_PAGER

usage() {
  printf '%s\n' 'usage: sh FILE [apply|remove] [OPTIONS]'
  printf '%s\n' '  --external-id VALUE  Yours (required)'
  printf '%s\n' '  --previous VALUE  '
  printf '%s\n' '  --phase VALUE   (default: setup)'
  printf '%s\n' '  --limit VALUE   (default: 12)'
}

fail() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

# check NAME VALUE MIN MAX PATTERN RULE: ends the script if a value is illegal.
check() {
  case $2 in *[[:cntrl:]]*) fail "$1 contains a control character" ;; esac
  if [ ${#2} -lt "$3" ] || [ ${#2} -gt "$4" ]; then fail "$1 must have $3 to $4 characters"; fi
  if [ -n "$5" ] && ! printf '%s\n' "$2" | grep -Eqx -e "$5"; then fail "$1 must be $6"; fi
}

# json TEXT: prints the text as it stands inside a JSON string.
json() {
  printf '%s' "$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g'
}

# exists COMMAND...: whether a get command finds something. Any other error than
# that there is no such thing ends the script.
exists() {
  if answer=$("$@" 2>&1); then return 0; fi
  case $answer in *NoSuchEntity*) return 1 ;; esac
  fail "$answer"
}

# put_role NAME ARN CREATE UPDATE TRUST: creates or updates a role.
put_role() {
  if exists aws iam get-role --role-name="$1"; then
    found=$(aws iam get-role --role-name="$1" --query Role.Arn --output text)
    [ "$found" = "$2" ] || fail "there is another role with this name, $found; choose another name or remove it"
    aws iam update-assume-role-policy --cli-input-json "$5"
    aws iam update-role --cli-input-json "$4" >/dev/null
  else
    aws iam create-role --cli-input-json "$3" >/dev/null
  fi
}

# put_policy ARN CREATE VERSION: creates a managed policy, or a new version of it.
put_policy() {
  if exists aws iam get-policy --policy-arn="$1"; then
    count=$(aws iam list-policy-versions --policy-arn="$1" --query 'length(Versions)' --output text)
    if [ "$count" -ge 5 ]; then
      oldest=$(aws iam list-policy-versions --policy-arn="$1" --query 'sort_by(Versions[?!IsDefaultVersion], &CreateDate)[0].VersionId' --output text)
      aws iam delete-policy-version --policy-arn="$1" --version-id="$oldest"
    fi
    aws iam create-policy-version --cli-input-json "$3" >/dev/null
  else
    aws iam create-policy --cli-input-json "$2" >/dev/null
  fi
}

# remove_policy ARN: detaches a managed policy from all roles and deletes it.
remove_policy() {
  if exists aws iam get-policy --policy-arn="$1"; then
    list=$(aws iam list-entities-for-policy --policy-arn="$1" --entity-filter Role --query 'PolicyRoles[].RoleName' --output text)
    for entity in $list; do
      aws iam detach-role-policy --role-name="$entity" --policy-arn="$1"
    done
    list=$(aws iam list-policy-versions --policy-arn="$1" --query 'Versions[?!IsDefaultVersion].VersionId' --output text)
    for version in $list; do
      aws iam delete-policy-version --policy-arn="$1" --version-id="$version"
    done
    aws iam delete-policy --policy-arn="$1"
  fi
}

# prune ROLE PATH ARN...: removes the role's policies on a path, except these.
# They come from an earlier version of this script.
prune() {
  pruned_role=$1 pruned_path=$2
  shift 2
  list=$(aws iam list-attached-role-policies --role-name="$pruned_role" --path-prefix="$pruned_path" --query 'AttachedPolicies[].PolicyArn' --output text)
  for attached in $list; do
    keep=false
    for arn in "$@"; do
      if [ "$arn" = "$attached" ]; then keep=true; fi
    done
    if [ "$keep" = false ]; then remove_policy "$attached"; fi
  done
}

# remove_role NAME ARN: removes a role with its inline policies.
remove_role() {
  if exists aws iam get-role --role-name="$1"; then
    found=$(aws iam get-role --role-name="$1" --query Role.Arn --output text)
    [ "$found" = "$2" ] || fail "there is another role with this name, $found; it stays"
    list=$(aws iam list-attached-role-policies --role-name="$1" --query 'AttachedPolicies[].PolicyArn' --output text)
    for attached in $list; do
      aws iam detach-role-policy --role-name="$1" --policy-arn="$attached"
    done
    list=$(aws iam list-role-policies --role-name="$1" --query 'PolicyNames[]' --output text)
    for inline in $list; do
      aws iam delete-role-policy --role-name="$1" --policy-name="$inline"
    done
    aws iam delete-role --role-name="$1"
  fi
}

action=apply
p_external_id=''
given_p_external_id=false
p_previous=''
p_phase='setup'
p_limit='12'
while [ $# -gt 0 ]; do
  case $1 in
    apply|remove) action=$1; shift; continue ;;
    --external-id) [ $# -ge 2 ] || fail '--external-id needs a value'; p_external_id=$2 given_p_external_id=true ;;
    --previous) [ $# -ge 2 ] || fail '--previous needs a value'; p_previous=$2 ;;
    --phase) [ $# -ge 2 ] || fail '--phase needs a value'; p_phase=$2 ;;
    --limit) [ $# -ge 2 ] || fail '--limit needs a value'; p_limit=$2 ;;
    --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift 2
done
if [ "$given_p_external_id" = true ] || [ "$action" = apply ]; then
  [ "$given_p_external_id" = true ] || fail '--external-id is required'
  check --external-id "$p_external_id" 2 64 '[A-Za-z0-9-]+' '2 to 64 letters'
fi
check --previous "$p_previous" 0 4096 '' ''
check --phase "$p_phase" 0 4096 '' ''
case $p_phase in 'setup'|'it'\''s done'|'neither') ;; *) fail '--phase must be one of setup, it'\''s done, neither' ;; esac
check --limit "$p_limit" 0 4096 '-?[0-9]+([.][0-9]+)?' ''

caller=$(aws sts get-caller-identity --query Arn --output text)
partition=$(printf '%s' "$caller" | cut -d : -f 2)
account_id=$(printf '%s' "$caller" | cut -d : -f 5)
case $account_id in *[!0-9]*|'') fail 'cannot tell the account from the aws credentials' ;; esac
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
[ -n "$region" ] || fail 'set AWS_REGION'
case $partition in aws-cn) url_suffix=amazonaws.com.cn ;; aws-eusc) url_suffix=amazonaws.eu ;; *) url_suffix=amazonaws.com ;; esac
r_role_name='reader-'"$region"
r_role_arn='arn:'"$partition"':iam::'"$account_id"':role/vendor/reader-'"$region"
r_always_name='always'
r_always_arn='arn:'"$partition"':iam::'"$account_id"':policy/vendor/always'
r_only_during_setup_name='setup'
r_only_during_setup_arn='arn:'"$partition"':iam::'"$account_id"':policy/vendor/setup'
c_setup=false
if [ "$p_phase" = 'setup' ]; then c_setup=true; fi
c_has_previous=false
if ! [ "$p_previous" = '' ]; then c_has_previous=true; fi
c_quiet=false
if { ! [ "$c_setup" = true ] && { [ "$c_has_previous" = true ] || [ "$region" = 'eu-west-1' ]; }; }; then c_quiet=true; fi

if [ "$action" = remove ]; then
  remove_policy "$r_only_during_setup_arn"
  remove_policy "$r_always_arn"
  if exists aws iam get-role --role-name="$r_role_name"; then
    prune "$r_role_name" '/vendor/'
  fi
  remove_role "$r_role_name" "$r_role_arn"
  echo 'Removed.'
  exit 0
fi

v_2=''
if [ "$c_has_previous" = true ]; then v_2=',"'"$(json "$p_previous")"'"'; fi
v_3=''
if [ "$c_setup" = true ]; then v_3=',"b"'; fi
v_1='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:'"$(json "$partition")"':iam::111122223333:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":["'"$(json "$p_external_id")"'"'"$v_2"'],"aws:PrincipalTag/team":["a"'"$v_3"',"c"]},"NumericLessThan":{"aws:MultiFactorAuthAge":"'"$(json "$p_limit")"'"}}}]}'
put_role "$r_role_name" "$r_role_arn" '{"RoleName":"reader-'"$(json "$region")"'","Path":"/vendor/","AssumeRolePolicyDocument":"'"$(json "$v_1")"'","PermissionsBoundary":"arn:'"$(json "$partition")"':iam::'"$(json "$account_id")"':policy/limits","Tags":[{"Key":"owner","Value":"data team"},{"Key":"domain","Value":"'"$(json "$url_suffix")"'"}],"Description":"Reads $things, 100 %{of} ${them} in \"quotes\" & <brackets>","MaxSessionDuration":7200}' '{"RoleName":"reader-'"$(json "$region")"'","Description":"Reads $things, 100 %{of} ${them} in \"quotes\" & <brackets>","MaxSessionDuration":7200}' '{"RoleName":"reader-'"$(json "$region")"'","PolicyDocument":"'"$(json "$v_1")"'"}'
aws iam put-role-permissions-boundary --cli-input-json '{"RoleName":"reader-'"$(json "$region")"'","PermissionsBoundary":"arn:'"$(json "$partition")"':iam::'"$(json "$account_id")"':policy/limits"}'
aws iam tag-role --cli-input-json '{"RoleName":"reader-'"$(json "$region")"'","Tags":[{"Key":"owner","Value":"data team"},{"Key":"domain","Value":"'"$(json "$url_suffix")"'"}]}'
v_4='{"Version":"2012-10-17","Statement":[{"Sid":"Self","Effect":"Allow","Action":"sts:GetCallerIdentity","Resource":"*"}]}'
aws iam put-role-policy --cli-input-json '{"RoleName":"reader-'"$(json "$region")"'","PolicyName":"self","PolicyDocument":"'"$(json "$v_4")"'"}'
aws iam attach-role-policy --cli-input-json '{"RoleName":"reader-'"$(json "$region")"'","PolicyArn":"arn:'"$(json "$partition")"':iam::aws:policy/SecurityAudit"}'
prune "$r_role_name" '/vendor/' "$r_always_arn" "$r_only_during_setup_arn"
v_5='{"Version":"2012-10-17","Statement":[{"Sid":"Home","Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":["arn:'"$(json "$partition")"':s3:::homes/${aws:username}/*","arn:'"$(json "$partition")"':s3:::${"]},{"Sid":"Self","Effect":"Allow","Action":"iam:GetRole","Resource":"'"$(json "$r_role_arn")"'"}]}'
put_policy "$r_always_arn" '{"PolicyName":"always","Path":"/vendor/","Description":"Granted always","PolicyDocument":"'"$(json "$v_5")"'"}' '{"PolicyArn":"'"$(json "$r_always_arn")"'","PolicyDocument":"'"$(json "$v_5")"'","SetAsDefault":true}'
aws iam attach-role-policy --cli-input-json '{"RoleName":"'"$(json "$r_role_name")"'","PolicyArn":"'"$(json "$r_always_arn")"'"}'
if [ "$c_setup" = true ]; then
  v_6='{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"iam:*","Resource":"*"}]}'
  put_policy "$r_only_during_setup_arn" '{"PolicyName":"setup","Path":"/vendor/","PolicyDocument":"'"$(json "$v_6")"'"}' '{"PolicyArn":"'"$(json "$r_only_during_setup_arn")"'","PolicyDocument":"'"$(json "$v_6")"'","SetAsDefault":true}'
  aws iam attach-role-policy --cli-input-json '{"RoleName":"'"$(json "$r_role_name")"'","PolicyArn":"'"$(json "$r_only_during_setup_arn")"'"}'
else
  remove_policy "$r_only_during_setup_arn"
fi

printf '%s: %s\n' 'RoleArn' "$r_role_arn"
printf '%s: %s\n' 'Where' 'in '"$region"'/'"$url_suffix"' as '"$r_role_name"
if [ "$c_setup" = true ]; then v_7='finish '"$p_phase"; else v_7='it'\''s done'; fi
printf '%s: %s\n' 'NextSteps' "$v_7"
