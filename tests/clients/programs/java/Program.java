// What azure-identity and azure-security-keyvault-secrets for Java do: tokens in each way, and the life of a secret.
//
// Told by environment variables; prints each way that has worked, on a line of its own.

import com.azure.core.credential.TokenCredential;
import com.azure.core.credential.TokenRequestContext;
import com.azure.core.exception.ResourceNotFoundException;
import com.azure.identity.ClientAssertionCredentialBuilder;
import com.azure.identity.ClientCertificateCredentialBuilder;
import com.azure.identity.ClientSecretCredentialBuilder;
import com.azure.identity.DefaultAzureCredentialBuilder;
import com.azure.identity.WorkloadIdentityCredentialBuilder;
import com.azure.security.keyvault.secrets.SecretClient;
import com.azure.security.keyvault.secrets.SecretClientBuilder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;

public class Program {
    static final String AUDIENCE = "https://api.loganalytics.io";

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void worked(String client, String operation) {
        System.out.println(client + " for Java\t" + operation);
    }

    static TokenCredential tokens() throws Exception {
        String host = System.getenv("AZURE_AUTHORITY_HOST");
        String tenant = System.getenv("AZURE_TENANT_ID");
        String client = System.getenv("AZURE_CLIENT_ID");
        String secret = System.getenv("SECRET");
        String assertion = Files.readString(Path.of(System.getenv("AZURE_FEDERATED_TOKEN_FILE")));
        Map<String, Supplier<TokenCredential>> ways = new LinkedHashMap<>();
        ways.put("ClientSecretCredential", () -> new ClientSecretCredentialBuilder()
            .authorityHost(host).tenantId(tenant).clientId(client).clientSecret(secret).disableInstanceDiscovery().build());
        ways.put("ClientCertificateCredential", () -> new ClientCertificateCredentialBuilder()
            .authorityHost(host).tenantId(tenant).clientId(client).pemCertificate(System.getenv("CERTIFICATE_FILE"))
            .disableInstanceDiscovery().build());
        ways.put("ClientAssertionCredential", () -> new ClientAssertionCredentialBuilder()
            .authorityHost(host).tenantId(tenant).clientId(client).clientAssertion(() -> assertion)
            .disableInstanceDiscovery().build());
        ways.put("WorkloadIdentityCredential", () -> new WorkloadIdentityCredentialBuilder().disableInstanceDiscovery().build());
        ways.put("DefaultAzureCredential", () -> new DefaultAzureCredentialBuilder().disableInstanceDiscovery().build());
        for (Map.Entry<String, Supplier<TokenCredential>> way : ways.entrySet()) {
            TokenRequestContext asked = new TokenRequestContext().addScopes(AUDIENCE + "/.default");
            String token = way.getValue().get().getTokenSync(asked).getToken();
            String claims = new String(Base64.getUrlDecoder().decode(token.split("\\.")[1]), StandardCharsets.UTF_8);
            check(claims.contains(client) && claims.contains(AUDIENCE), way.getKey() + ": " + claims);
            worked("azure-identity", way.getKey());
        }
        return ways.get("ClientSecretCredential").get();
    }

    static void secrets(TokenCredential credential) {
        String name = "azure-security-keyvault-secrets";
        SecretClient client = new SecretClientBuilder().vaultUrl(System.getenv("VAULT_URL")).credential(credential)
            .disableChallengeResourceVerification().buildClient();
        String first = client.setSecret("db", "one").getProperties().getVersion();
        client.setSecret("db", "two");
        worked(name, "SecretClient.setSecret");
        check(client.getSecret("db").getValue().equals("two"), "the newest version");
        check(client.getSecret("db", first).getValue().equals("one"), "a version");
        worked(name, "SecretClient.getSecret");
        check(client.listPropertiesOfSecrets().stream().count() == 1, "one secret");
        worked(name, "SecretClient.listPropertiesOfSecrets");
        check(client.listPropertiesOfSecretVersions("db").stream().count() == 2, "two versions");
        worked(name, "SecretClient.listPropertiesOfSecretVersions");
        client.beginDeleteSecret("db").setPollInterval(Duration.ofMillis(100)).waitForCompletion();
        worked(name, "SecretClient.beginDeleteSecret");
        try {
            client.getSecret("db");
            throw new AssertionError("it is still there");
        } catch (ResourceNotFoundException expected) {
            worked(name, "SecretClient.getSecret, 404");
        }
        client.beginRecoverDeletedSecret("db").setPollInterval(Duration.ofMillis(100)).waitForCompletion();
        check(client.getSecret("db").getValue().equals("two"), "recovered");
        worked(name, "SecretClient.beginRecoverDeletedSecret");
    }

    public static void main(String[] arguments) throws Exception {
        secrets(tokens());
        System.exit(0);
    }
}
