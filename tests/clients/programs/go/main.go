// What azidentity and armauthorization do with a secret, a certificate and a federated assertion.
//
// Told by environment variables; prints each way that has worked, on a line of its own.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
)

const audience = "https://api.loganalytics.io"

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	host := os.Getenv("AZURE_AUTHORITY_HOST")
	tenant, client, secret := os.Getenv("AZURE_TENANT_ID"), os.Getenv("AZURE_CLIENT_ID"), os.Getenv("SECRET")
	local := cloud.Configuration{
		ActiveDirectoryAuthorityHost: host,
		Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: host, Audience: host},
		},
	}
	options := azcore.ClientOptions{Cloud: local}
	assertion := func(context.Context) (string, error) {
		content, err := os.ReadFile(os.Getenv("AZURE_FEDERATED_TOKEN_FILE"))
		return string(content), err
	}
	certificates, key, err := azidentity.ParseCertificates(must(os.ReadFile(os.Getenv("CERTIFICATE_FILE"))), nil)
	must(0, err)
	ways := []struct {
		name string
		make func() (azcore.TokenCredential, error)
	}{
		{"ClientSecretCredential", func() (azcore.TokenCredential, error) {
			return azidentity.NewClientSecretCredential(tenant, client, secret, &azidentity.ClientSecretCredentialOptions{
				ClientOptions: options, DisableInstanceDiscovery: true})
		}},
		{"ClientCertificateCredential", func() (azcore.TokenCredential, error) {
			return azidentity.NewClientCertificateCredential(tenant, client, certificates, key,
				&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		}},
		{"ClientCertificateCredential, SendCertificateChain", func() (azcore.TokenCredential, error) {
			return azidentity.NewClientCertificateCredential(tenant, client, certificates, key,
				&azidentity.ClientCertificateCredentialOptions{
					ClientOptions: options, DisableInstanceDiscovery: true, SendCertificateChain: true})
		}},
		{"ClientAssertionCredential", func() (azcore.TokenCredential, error) {
			return azidentity.NewClientAssertionCredential(tenant, client, assertion,
				&azidentity.ClientAssertionCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		}},
		{"WorkloadIdentityCredential", func() (azcore.TokenCredential, error) {
			return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
				ClientOptions: options, DisableInstanceDiscovery: true})
		}},
		{"EnvironmentCredential", func() (azcore.TokenCredential, error) {
			must(0, os.Setenv("AZURE_CLIENT_SECRET", secret))
			return azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{
				ClientOptions: options, DisableInstanceDiscovery: true})
		}},
		{"DefaultAzureCredential", func() (azcore.TokenCredential, error) {
			return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
				ClientOptions: options, DisableInstanceDiscovery: true})
		}},
	}
	ctx := context.Background()
	for _, way := range ways {
		token := must(must(way.make()).GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{audience + "/.default"}}))
		var claims struct{ Aud, Appid string }
		must(0, json.Unmarshal(must(base64.RawURLEncoding.DecodeString(strings.Split(token.Token, ".")[1])), &claims))
		if claims.Aud != audience || claims.Appid != client {
			must(0, fmt.Errorf("%s: %+v", way.name, claims))
		}
		fmt.Printf("azidentity for Go\t%s\n", way.name)
	}

	scope := "/subscriptions/" + os.Getenv("AZURE_SUBSCRIPTION_ID")
	credential := must(ways[0].make())
	armOptions := &arm.ClientOptions{ClientOptions: options}
	definitions := must(armauthorization.NewRoleDefinitionsClient(credential, armOptions))
	filter := "roleName eq 'Reader'"
	page := must(definitions.NewListPager(scope, &armauthorization.RoleDefinitionsClientListOptions{Filter: &filter}).NextPage(ctx))
	role := page.Value[0].ID
	fmt.Println("armauthorization for Go\tRoleDefinitionsClient.NewListPager")
	assignments := must(armauthorization.NewRoleAssignmentsClient(os.Getenv("AZURE_SUBSCRIPTION_ID"), credential, armOptions))
	kind, principal, name := armauthorization.PrincipalTypeServicePrincipal, os.Getenv("PRINCIPAL_ID"), os.Getenv("ASSIGNMENT_NAME")
	made := must(assignments.Create(ctx, scope, name, armauthorization.RoleAssignmentCreateParameters{
		Properties: &armauthorization.RoleAssignmentProperties{RoleDefinitionID: role, PrincipalID: &principal, PrincipalType: &kind},
	}, nil))
	fmt.Println("armauthorization for Go\tRoleAssignmentsClient.Create")
	if got := must(assignments.GetByID(ctx, *made.ID, nil)); *got.Properties.RoleDefinitionID != *role {
		must(0, fmt.Errorf("another role: %s", *got.Properties.RoleDefinitionID))
	}
	fmt.Println("armauthorization for Go\tRoleAssignmentsClient.GetByID")
	must(assignments.Delete(ctx, scope, name, nil))
	fmt.Println("armauthorization for Go\tRoleAssignmentsClient.Delete")
}
