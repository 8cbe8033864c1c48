// What @azure/msal-node and @azure/identity do with a secret, a certificate and a federated assertion.
// Told by environment variables; prints each way that has led to a token, on a line of its own.

const crypto = require("node:crypto");
const fs = require("node:fs");
const { ConfidentialClientApplication } = require("@azure/msal-node");
const identity = require("@azure/identity");

const { AZURE_AUTHORITY_HOST: host, AZURE_TENANT_ID: tenantId, AZURE_CLIENT_ID: clientId } = process.env;
const secret = process.env.SECRET;
const certificateFile = process.env.CERTIFICATE_FILE;
const tokenFile = process.env.AZURE_FEDERATED_TOKEN_FILE;
const scope = "https://api.loganalytics.io/.default";
const getAssertion = async () => fs.readFileSync(tokenFile, "utf8");

function certificate() {
  const pem = fs.readFileSync(certificateFile, "utf8");
  const x509 = new crypto.X509Certificate(pem);
  const thumbprintSha256 = crypto.createHash("sha256").update(x509.raw).digest("hex");
  return { thumbprintSha256, privateKey: pem.match(/-----BEGIN PRIVATE KEY[^]*?END PRIVATE KEY-----/)[0] };
}

function check(token, name) {
  const claims = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
  if (claims.appid !== clientId || claims.aud !== "https://api.loganalytics.io") throw new Error(`${name}: ${JSON.stringify(claims)}`);
  console.log(name);
}

async function msal() {
  const ways = {
    clientSecret: { clientSecret: secret },
    clientCertificate: { clientCertificate: certificate() },
    clientAssertion: { clientAssertion: getAssertion },
  };
  for (const [name, way] of Object.entries(ways)) {
    const authority = `${host}/${tenantId}`;
    const app = new ConfidentialClientApplication({
      auth: { clientId, authority, knownAuthorities: [new URL(host).host], ...way },
    });
    const answer = await app.acquireTokenByClientCredential({ scopes: [scope] });
    check(answer.accessToken, `@azure/msal-node\tConfidentialClientApplication, ${name}`);
    const again = await app.acquireTokenByClientCredential({ scopes: [scope] });
    if (!again.fromCache) throw new Error("asked twice");
  }
  const wrong = new ConfidentialClientApplication({
    auth: { clientId, authority: `${host}/${tenantId}`, knownAuthorities: [new URL(host).host], clientSecret: "wrong" },
  });
  try {
    await wrong.acquireTokenByClientCredential({ scopes: [scope] });
  } catch (error) {
    if (!String(error).includes("AADSTS7000215")) throw error;
    console.log("@azure/msal-node\ta refusal with AADSTS7000215");
  }
}

async function azureIdentity() {
  const options = { authorityHost: host, disableInstanceDiscovery: true };
  const ways = {
    ClientSecretCredential: () => new identity.ClientSecretCredential(tenantId, clientId, secret, options),
    ClientCertificateCredential: () =>
      new identity.ClientCertificateCredential(tenantId, clientId, certificateFile, options),
    "ClientCertificateCredential, sendCertificateChain": () =>
      new identity.ClientCertificateCredential(tenantId, clientId, certificateFile, { ...options, sendCertificateChain: true }),
    ClientAssertionCredential: () => new identity.ClientAssertionCredential(tenantId, clientId, getAssertion, options),
    WorkloadIdentityCredential: () => new identity.WorkloadIdentityCredential(options),
    DefaultAzureCredential: () => new identity.DefaultAzureCredential(options),
    EnvironmentCredential: () => {
      process.env.AZURE_CLIENT_SECRET = secret;
      return new identity.EnvironmentCredential(options);
    },
  };
  for (const [name, make] of Object.entries(ways)) {
    const { token } = await make().getToken(scope);
    check(token, `@azure/identity\t${name}`);
  }
}

msal()
  .then(azureIdentity)
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
