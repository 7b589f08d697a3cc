// Deletes an access key with the IAM SDK and prints what the SDK makes of the
// answer: node delete-access-key.js ENDPOINT TOKEN ACCESS_KEY

const iam = require('@huaweicloud/huaweicloud-sdk-iam/v3/public-api');

const [endpoint, token, key] = process.argv.slice(2);

const credential = {
    getAk: () => undefined,
    getSk: () => undefined,
    processAuthParams: async () => credential,
    processAuthRequest: async (client, request) => {
        request.headers = { ...request.headers, 'X-Auth-Token': token };
        return request;
    },
};

const client = iam.IamClient.newBuilder()
    .withCredential(credential)
    .withEndpoint(endpoint)
    .build();

client.deletePermanentAccessKey(
    new iam.DeletePermanentAccessKeyRequest().withAccessKey(key)
).then(
    (response) => ({ status: response.httpStatusCode }),
    (error) => ({
        name: error.name,
        status: error.httpStatusCode,
        code: error.errorCode,
        message: error.errorMsg,
        request: error.requestId,
    })
).then((result) => console.log(JSON.stringify(result)));
