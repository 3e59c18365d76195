// What `installed` does, as one would write it for Node: verifies a lifecycle event with Atlassian's own library, and keeps
// the tenant in DynamoDB. Less than `installed` does, which also seals the secret by KMS and bounds what it reads.

const crypto = require("node:crypto");
const http = require("node:http");
const jwt = require("@atlassian/atlassian-jwt");
const { DynamoDBClient, GetItemCommand, PutItemCommand } = require("@aws-sdk/client-dynamodb");

const { AWS_LAMBDA_RUNTIME_API, BASE_URL, INSTALL_KEYS_URL, TABLE_NAME } = process.env;
const dynamodb = new DynamoDBClient({});
const digest = (text) => crypto.createHash("sha256").update(text).digest("hex");

async function handler(event) {
  const token = event.headers.authorization.split(" ")[1];
  const tenant = JSON.parse(event.body);
  const { kid } = JSON.parse(Buffer.from(token.split(".")[0], "base64url").toString());
  const key = await fetch(`${INSTALL_KEYS_URL}/${kid}`);
  const claims = jwt.decodeAsymmetric(token, await key.text(), "RS256");
  const request = jwt.fromMethodAndUrl("POST", "/events/installed");
  const isOurs = claims.iss === tenant.clientKey && [claims.aud].flat().includes(`${BASE_URL}/-/jira_connect`);
  if (!isOurs || claims.exp * 1000 < Date.now() || claims.qsh !== jwt.createQueryStringHash(request)) {
    return { statusCode: 401 };
  }
  const item = (pk, sk, more) => ({ pk: { S: pk }, sk: { S: sk }, ...more });
  const put = (Item) => dynamodb.send(new PutItemCommand({ TableName: TABLE_NAME, Item }));
  await put(item(`TOKEN#${digest(token)}`, "USED"));
  const Key = item(`CLIENT#${digest(tenant.clientKey)}`, "INSTALLATION");
  await dynamodb.send(new GetItemCommand({ TableName: TABLE_NAME, Key, ConsistentRead: true }));
  await put({ ...Key, data: { S: event.body } });
  return { statusCode: 200 };
}

// Lambda's runtime API: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
const agent = new http.Agent({ keepAlive: true });

function call(method, path, body) {
  const [host, port] = AWS_LAMBDA_RUNTIME_API.split(":");
  return new Promise((resolve, reject) => {
    const options = { agent, host, port, method, path: `/2018-06-01/runtime/invocation/${path}` };
    const request = http.request(options, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ headers: response.headers, text: Buffer.concat(chunks).toString() }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

(async () => {
  for (;;) {
    const { headers, text } = await call("GET", "next");
    const id = headers["lambda-runtime-aws-request-id"];
    await call("POST", `${id}/response`, JSON.stringify(await handler(JSON.parse(text))));
  }
})();
