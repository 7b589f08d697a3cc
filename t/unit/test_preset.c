
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <connector.h>
#include <jansson.h>


#define TYK        "control GET /; preset tyk"
#define OPERATION  "0123456789abcdef0123456789abcdef"
#define UUID       "550e8400-e29b-41d4-a716-446655440000"
#define KEY        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SECOND     "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
#define PAYLOAD    "{\"test\": 2432232314}"


static void
test_names(void)
{
    ngx_str_t   name;
    ngx_uint_t  i;

    static struct {
        const char  *name;
        ngx_uint_t   has;
    } rows[] = {
        { "kong", 1 }, { "apisix", 1 }, { "tyk", 1 }, { "vault", 1 },
        { "caddy", 1 }, { "cred", 1 }, { "webhook-internal", 0 },
        { "webhook", 0 }, { "Kong", 0 }, { "kon", 0 }, { "", 0 }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        name = *unit_format("%s", rows[i].name);

        unit_ok(ngx_cred_connector_has_preset(&name) == rows[i].has,
                "preset \"%s\"", rows[i].name);
    }

    unit_is(connector_line(connector_new(), "preset nginx"),
            unit_string("unknown preset \"nginx\""), "unknown preset");
}


/* the requests as they are sent, alone and with settings of one's own */

static void
test_requests(void)
{
    ngx_uint_t             i;
    ngx_cred_values_t      values;
    ngx_cred_connector_t  *connector;

    static struct {
        const char  *lines;
        const char  *requests;
    } rows[] = {
        { "preset kong",
          "DELETE /consumers/My%20Project/key-auth/" UUID "\n"
          "verify GET /key-auths/" UUID "\n"
          "control GET /key-auths?size=1\n"
          "purge DELETE /cache\n" },
        { "request DELETE /eu/consumers/{id}/jwt/{target}; purge BAN /x; "
          "header Kong-Admin-Token t; preset kong",
          "DELETE /eu/consumers/api%20%22user%22/jwt/" UUID "\n"
          "verify GET /key-auths/" UUID "\n"
          "control GET /key-auths?size=1\n"
          "purge BAN /x\n"
          "Kong-Admin-Token: t\n" },
        { "preset apisix",
          "DELETE /apisix/admin/consumers/My%20Project/credentials/t.1\n"
          "verify GET /apisix/admin/consumers/My%20Project/credentials/t.1\n"
          "control GET /apisix/admin/consumers/My%20Project\n" },
        { "verify HEAD /x; preset apisix",
          "DELETE /apisix/admin/consumers/My%20Project/credentials/t.1\n"
          "verify HEAD /x\n"
          "control GET /apisix/admin/consumers/My%20Project\n" },
        { "control GET /tyk/keys/c0?hashed=1; preset tyk",
          "DELETE /tyk/keys/a1b2c3d4?hashed=1\n"
          "verify GET /tyk/keys/a1b2c3d4?hashed=1\n"
          "control GET /tyk/keys/c0?hashed=1\n" },
        { "preset vault",
          "POST /v1/auth/token/revoke-accessor\n"
          "{\"accessor\":\"t.1\"}\n" },
        { "request POST /v1/sys/leases/revoke; "
          "body '{\"lease_id\":\"{target}\",\"sync\":true}'; preset vault",
          "POST /v1/sys/leases/revoke\n"
          "{\"lease_id\":\"t.1\",\"sync\":true}\n" },
        { "preset caddy",
          "match GET /id/t.1\n"
          "DELETE /id/t.1\n"
          "verify GET /id/t.1\n" },
        { "header Authorization 'Bearer t'; preset cred",
          "DELETE /apiops/projects/My%20Project/credentials/"
          "api%20%22user%22/\n"
          "Authorization: Bearer t\n"
          "Prefer: wait=3\n"
          "Cred-Revision: 17\n" },
        { "header PREFER wait=1; preset cred",
          "DELETE /apiops/projects/My%20Project/credentials/"
          "api%20%22user%22/\n"
          "PREFER: wait=1\n"
          "Cred-Revision: 17\n" },
        { "request POST /hooks?a=b; preset webhook-internal",
          "POST /hooks?a=b\n"
          "{\"type\":\"credential.deleted\",\"data\":{\"api\":\"apinizer\","
          "\"scope\":\"My Project\",\"id\":\"api \\\"user\\\"\","
          "\"revision\":17,\"operation\":\"" OPERATION "\","
          "\"environment\":\"eu.west\"}}\n" },
        { "request POST /; body '{\"text\":\"{id}\"}'; "
          "preset webhook-internal",
          "POST /\n"
          "{\"text\":\"api \\\"user\\\"\"}\n" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        connector = connector_new();

        unit_is(connector_lines(connector, rows[i].lines), unit_string(""),
                "%s", rows[i].lines);

        connector_values(connector, values);

        unit_is(connector_requests(connector, values),
                unit_format("%s", rows[i].requests), "its requests");
    }
}


static void
test_demands(void)
{
    ngx_uint_t  i;

    static struct {
        const char  *lines;
        const char  *error;
    } rows[] = {
        { "request DELETE /consumers/{scope}/key-auth/{id}; preset kong",
          "preset \"kong\" needs \"{target}\" in \"request\"" },
        { "request DELETE /consumers/{scope}; body '{\"a\":\"{target}\"}'; "
          "preset kong",
          "preset \"kong\" needs \"{target}\" in \"request\"" },
        { "target any; preset kong",
          "preset \"kong\" has \"target uuid\", and needs it" },
        { "control GET /; target uuid; preset tyk",
          "preset \"tyk\" has \"target hex\", and needs it" },
        { "preset tyk",
          "preset \"tyk\" needs a \"control\": what says that it is gone is "
          "said of a lost database as well" },
        { "request DELETE /tyk/keys/{target}; preset tyk",
          "preset \"tyk\" needs \"hashed=\" in \"request\"" },
        { "request DELETE /apisix/admin/consumers/{target}; preset apisix",
          "preset \"apisix\" needs \"/credentials/\" in \"request\"" },
        { "request DELETE /apisix/admin/consumers/{scope}/credentials/{id}; "
          "preset apisix",
          "preset \"apisix\" needs \"{target}\" in \"request\"" },
        { "body '{\"accessor\":\"{id}\"}'; preset vault",
          "preset \"vault\" needs \"{target}\" in \"request\" or \"body\"" },
        { "request POST /v1/sys/leases/revoke; preset vault",
          "preset \"vault\" needs \"\"sync\":true\" in \"body\" of such a "
          "\"request\"" },
        { "request DELETE /id/{id}; preset caddy",
          "preset \"caddy\" needs \"{target}\" in \"request\"" },
        { "header If-Match a; preset caddy",
          "there is a header \"If-Match\" with preset \"caddy\"" },
        { "header If-Match a; match GET /; preset caddy",
          "there is a header \"If-Match\" in \"match\"" },
        { "target uuid; preset caddy", "" },
        { "target hex; preset apisix", "" },
        { "request DELETE /x; preset cred", "" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unit_is(connector_lines(connector_new(), rows[i].lines),
                unit_format("%s", rows[i].error), "%s", rows[i].lines);
    }
}


/* many servers decode a path before they take it apart */

static void
test_segments(void)
{
    ngx_uint_t             i;
    ngx_cred_values_t      values;
    ngx_cred_connector_t  *connector;

    static struct {
        const char  *lines;
        ngx_uint_t   place;
        const char  *value;
        const char  *requests;
    } rows[] = {
        { "preset apisix", NGX_CRED_PLACE_SCOPE, "jack/credentials/5",
          "DELETE placeholder \"{scope}\" has a \"/\" or \"\\\"\n" },
        { "preset kong", NGX_CRED_PLACE_SCOPE, "a\\b",
          "DELETE placeholder \"{scope}\" has a \"/\" or \"\\\"\n" },
        { "preset caddy", NGX_CRED_PLACE_TARGET, "a/b",
          "match GET placeholder \"{target}\" has a \"/\" or \"\\\"\n" },
        { "match GET /x; preset caddy", NGX_CRED_PLACE_TARGET, "a/b",
          "match GET /x\n"
          "DELETE placeholder \"{target}\" has a \"/\" or \"\\\"\n" },
        { "preset cred", NGX_CRED_PLACE_ID, "a/b",
          "DELETE placeholder \"{id}\" has a \"/\" or \"\\\"\n" },
        { "preset cred", NGX_CRED_PLACE_REVISION, "1\r\nX: y",
          "DELETE /apiops/projects/My%20Project/credentials/"
          "api%20%22user%22/\n"
          "Prefer: wait=3\n"
          "Cred-Revision: placeholder \"{revision}\" has a control "
          "character\n" },
        { "preset vault", NGX_CRED_PLACE_TARGET, "database/creds/a/b",
          "POST /v1/auth/token/revoke-accessor\n"
          "{\"accessor\":\"database/creds/a/b\"}\n" },
        { "preset vault", NGX_CRED_PLACE_TARGET, "",
          "POST /v1/auth/token/revoke-accessor\n"
          "placeholder \"{target}\" is empty: the credential has no target in "
          "this environment\n" },
        { "preset apisix; purge A /{id}", NGX_CRED_PLACE_ID, "a/b",
          "DELETE /apisix/admin/consumers/My%20Project/credentials/t.1\n"
          "verify GET /apisix/admin/consumers/My%20Project/credentials/t.1\n"
          "control GET /apisix/admin/consumers/My%20Project\n"
          "purge A /a%2Fb\n" },
        { "purge A /{id}; preset apisix", NGX_CRED_PLACE_ID, "a/b",
          "DELETE /apisix/admin/consumers/My%20Project/credentials/t.1\n"
          "verify GET /apisix/admin/consumers/My%20Project/credentials/t.1\n"
          "control GET /apisix/admin/consumers/My%20Project\n"
          "purge A placeholder \"{id}\" has a \"/\" or \"\\\"\n" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        connector = connector_new();

        (void) connector_lines(connector, rows[i].lines);

        connector_values(connector, values);
        values[rows[i].place] = *unit_format("%s", rows[i].value);

        unit_is(connector_requests(connector, values),
                unit_format("%s", rows[i].requests), "%s, \"%s\"",
                rows[i].lines, rows[i].value);
    }
}


/* answers as the servers give them */

static void
test_said(void)
{
    ngx_uint_t             i;
    ngx_cred_connector_t  *connector;

    static struct {
        const char  *lines;
        ngx_uint_t   status;
        const char  *body;
        const char  *said;
    } rows[] = {
        { "preset kong", 204, "", "success" },
        { "preset kong", 200, "", "other" },
        { "preset kong", 404, "{\"message\":\"Not found\"}", "gone" },
        { "preset kong", 404, "{\"message\":\"no Route matched with those "
          "values\"}", "other" },
        { "preset kong", 404, "{\"message\":\"Workspace 'x' not found\"}",
          "other" },
        { "preset kong", 405, "{\"code\":12}", "denied" },

        { "preset apisix", 200, "{\"deleted\":\"1\",\"key\":\"/apisix/"
          "consumers/jack/credentials/5\"}\n", "success" },
        { "preset apisix", 200, "{\"deleted\":\"1\",\"key\":\"/apisix/"
          "consumers/jack\"}\n", "other" },
        { "preset apisix", 404, "{\"message\":\"Key not found\"}\n", "gone" },
        { "preset apisix", 404, "{\"error_msg\":\"404 Route Not Found\"}\n",
          "other" },
        { "preset apisix", 401, "{\"error_msg\":\"failed to check token\"}\n",
          "denied" },
        { "preset apisix", 503, "{\"error_msg\":\"x\"}\n", "other" },

        { TYK, 200, "{\"key\":\"a1\",\"status\":\"ok\",\"action\":"
          "\"deleted\"}\n", "success" },
        { TYK, 200, "null\n", "other" },
        { TYK, 404, "{\"status\":\"error\",\"message\":\"There is no "
          "such key found\"}\n", "gone" },
        { TYK, 404, "{\"status\":\"error\",\"message\":\"Key not "
          "found\"}\n", "gone" },
        { TYK, 404, "404 page not found\n", "other" },
        { TYK, 400, "{\"status\":\"error\",\"message\":\"Failed to "
          "remove the key\"}\n", "other" },

        { "preset vault", 204, "", "success" },
        { "preset vault", 202, "{}", "other" },
        { "preset vault", 200, "{\"warnings\":[\"No token found with this "
          "accessor\"]}\n", "gone" },
        { "preset vault", 400, "{\"errors\":[\"token not found\"]}\n",
          "other" },
        { "preset vault", 307, "", "elsewhere" },

        { "preset caddy", 200, "", "success" },
        { "preset caddy", 404, "{\"error\":\"unknown object ID 't-nope'\"}\n",
          "gone" },
        { "preset caddy", 404, "404 page not found\n", "other" },
        { "preset caddy", 412, "{\"error\":\"If-Match header did not match "
          "current config hash\"}\n", "other" },

        { "preset cred", 200, "{\"success\":true,\"deploymentResult\":"
          "{\"success\":true,\"message\":\"No environment is registered\","
          "\"environmentResults\":[]}}", "success" },
        { "preset cred", 200, "{\"success\":true,\"deploymentResult\":"
          "{\"success\":false,\"message\":\"A newer deployment stays in 1 of "
          "2 environments\"}}", "superseded" },
        { "preset cred", 200, "{\"success\":true,\"deploymentResult\":"
          "{\"success\":false,\"message\":\"Undeployment is pending in 1 of 2 "
          "environments\",\"environmentResults\":[{\"message\":\"A newer "
          "deployment stays in \"}]}}", "other" },
        { "preset cred", 409, "{\"error\":\"conflict\","
          "\"error_description\":\"Credential (username: a) is newer than the "
          "revision that was to be deleted!\"}", "superseded" },
        { "preset cred", 409, "Conflict", "other" },
        { "preset cred", 400, "{\"error\":\"bad_request\","
          "\"error_description\":\"Credential (username: a) was not found!\"}",
          "gone" },
        { "preset cred", 400, "{\"error\":\"bad_request\","
          "\"error_description\":\"was not found!\\\" is no revision\"}",
          "other" },
        { "preset cred", 404, "{\"error\":\"not_found\","
          "\"error_description\":\"Project(a) was not found or user does not "
          "have privilege to access it!\"}", "other" },

        { "preset webhook-internal", 200, "", "success" },
        { "preset webhook-internal", 299, "x", "success" },
        { "preset webhook-internal", 300, "", "elsewhere" },
        { "preset webhook-internal", 410, "", "other" },
        { "success 200 204; preset webhook-internal", 202, "", "other" },
        { "gone 404 x; preset kong", 404, "{\"message\":\"Not found\"}",
          "other" },
        { "gone 404 x; preset kong", 404, "x", "gone" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        connector = connector_new();

        (void) connector_lines(connector, rows[i].lines);

        unit_is(unit_format("%s", connector_said(connector, rows[i].status,
                                                 rows[i].body)),
                unit_format("%s", rows[i].said), "%s: %d \"%s\"",
                rows[i].lines, (int) rows[i].status, rows[i].body);
    }
}


static void
test_others(void)
{
    ngx_cred_connector_t  *connector;

    connector = connector_new();
    (void) connector_lines(connector, "control GET /; timeout 1s; preset tyk");

    unit_ok(connector->settle == 15000 && connector->timeout == 1000
            && connector->target == NGX_CRED_TARGET_HEX && !connector->webhook
            && connector->set == (1 << NGX_CRED_SETTING_TIMEOUT
                                 | 1 << NGX_CRED_SETTING_CONTROL),
            "tyk: what else it sets");

    connector = connector_new();
    (void) connector_lines(connector, "control GET /; settle 20s; preset tyk");

    unit_ok(connector->settle == 20000 && connector->timeout == 5000,
            "tyk: another time");

    connector = connector_new();
    (void) connector_lines(connector, "request POST /; "
                                      "preset webhook-internal");

    unit_ok(connector->webhook, "a webhook is one");
}


static void
test_secrets(void)
{
    size_t       len;
    ngx_str_t   *got, raw, base64;
    ngx_uint_t   i;

    ngx_cred_connector_t  *connector;

    static struct {
        const char  *line;
        const char  *error;
        ngx_uint_t   n;
    } rows[] = {
        { "secret " KEY, "", 1 },
        { "secret '" KEY " " SECOND "'", "", 2 },
        { "secret " KEY "; secret " SECOND, "", 2 },
        { "secret '" KEY " " SECOND " " KEY "'",
          "there are more than 2 secrets", 2 },
        { "secret ''", "a secret must begin with \"whsec_\"", 0 },
        { "secret MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
          "a secret must begin with \"whsec_\"", 0 },
        { "secret '" KEY " '", "a secret must begin with \"whsec_\"", 1 },
        { "secret '" KEY "  " SECOND "'", "a secret must begin with "
          "\"whsec_\"", 1 },
        { "secret whsec_", "a secret must be the base64 of 24 to 64 bytes",
          0 },
        { "secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
          "a secret must be the base64 of 24 to 64 bytes", 0 },
        { "secret " KEY "MQ==", "", 1 },
        { "secret " KEY "MQ=",
          "a secret must be the base64 of 24 to 64 bytes", 0 },
        { "secret " KEY "MQ",
          "a secret must be the base64 of 24 to 64 bytes", 0 },
        { "secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==x",
          "a secret must be the base64 of 24 to 64 bytes", 0 },
        { "secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMf==Kw==",
          "a secret must be the base64 of 24 to 64 bytes", 0 },
        { "secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwM===",
          "a secret must be the base64 of 24 to 64 bytes", 0 },
        { "secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa_w",
          "a secret must be the base64 of 24 to 64 bytes", 0 }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        connector = connector_new();

        unit_is(connector_lines(connector, rows[i].line),
                unit_format("%s", rows[i].error), "\"%s\"", rows[i].line);
        unit_ok(connector->secrets.nelts == rows[i].n, "its secrets");
    }

    for (len = 22; len <= 66; len++) {

        raw = *unit_repeat('k', len);
        base64 = *unit_repeat(0, ngx_base64_encoded_length(len));
        ngx_encode_base64(&base64, &raw);

        connector = connector_new();
        got = connector_line(connector,
                             (char *) unit_format("secret whsec_%V%Z",
                                                  &base64)->data);

        unit_ok((got->len == 0) == (len >= 24 && len <= 64), "%d bytes",
                (int) len);

        if (got->len == 0) {
            unit_is(connector->secrets.elts, &raw, "as they were");
        }
    }
}


static void
test_sign(void)
{
    ngx_str_t              header, body;
    ngx_uint_t             i;
    ngx_cred_values_t      values;
    ngx_cred_connector_t  *connector;

    /* the first is that of the specification's own libraries */

    static struct {
        const char  *secret;
        const char  *operation;
        const char  *environment;
        time_t       now;
        const char  *body;
        const char  *header;
    } rows[] = {
        { "secret " KEY, "msg", "p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
          PAYLOAD,
          "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\r\n"
          "webhook-timestamp: 1614265330\r\n"
          "webhook-signature: "
          "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\n" },
        { "secret '" KEY " " SECOND "'", "msg", "p5jXN8AQM9LWM0D4loKWxJek",
          1614265330, PAYLOAD,
          "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\r\n"
          "webhook-timestamp: 1614265330\r\n"
          "webhook-signature: "
          "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= "
          "v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44=\r\n" },
        { "secret " KEY, OPERATION, "eu.west \xc3\xa9", 1, "",
          "webhook-id: " OPERATION "_eu%2Ewest%20%C3%A9\r\n"
          "webhook-timestamp: 1\r\n"
          "webhook-signature: "
          "v1,ZHat3xx0UYH9OG8Ox3GibrQKJTCzmIGewa26UE40lys=\r\n" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        connector = connector_new();
        (void) connector_line(connector, rows[i].secret);

        connector_values(connector, values);
        values[NGX_CRED_PLACE_OPERATION] = *unit_format("%s",
                                                        rows[i].operation);
        values[NGX_CRED_PLACE_ENVIRONMENT] = *unit_format("%s",
                                                         rows[i].environment);
        body = *unit_format("%s", rows[i].body);

        unit_ok(ngx_cred_webhook_sign(unit_pool, connector, values,
                                      rows[i].now, &body, &header)
                == NGX_OK, "signature %d", (int) i);
        unit_is(&header, unit_format("%s", rows[i].header), "its header");
    }

    connector = connector_new();
    (void) connector_line(connector, "secret " KEY);

    connector_values(connector, values);
    values[NGX_CRED_PLACE_ENVIRONMENT] = *unit_string("a\r\nX-Y: z..");

    (void) ngx_cred_webhook_sign(unit_pool, connector, values, 1, &body,
                                 &header);

    unit_ok(ngx_strnstr(header.data, "_a%0D%0AX-Y%3A%20z%2E%2E\r\nwebhook-t",
                        header.len)
            != NULL, "an id has neither lines nor dots");
}


/* with one allocation more that succeeds each time */

static ngx_int_t
test_once(ngx_int_t n, ngx_uint_t *failed)
{
    ngx_int_t             rc;
    ngx_str_t             err, out, name, secret, header[2], path, post[2];
    ngx_pool_t           *pool;
    ngx_cred_values_t     values;
    ngx_cred_connector_t  connector;

    ngx_str_set(&name, "webhook-internal");
    ngx_str_set(&secret, KEY " " SECOND);
    ngx_str_set(&header[0], "X-Key");
    ngx_str_set(&header[1], "{id} {id}");
    ngx_str_set(&path, "/{id}");
    ngx_str_set(&post[0], "POST");
    ngx_str_set(&post[1], "/{scope}");

    ngx_memzero(&connector, sizeof(ngx_cred_connector_t));
    connector_values(&connector, values);

    pool = ngx_create_pool(NGX_MIN_POOL_SIZE, &unit_log);

    unit_memory(n);

    rc = ngx_cred_connector_init(pool, &connector);

    if (rc == NGX_OK) {
        rc = ngx_cred_connector_set(pool, &connector,
                                    NGX_CRED_SETTING_REQUEST, post, 2, &err);
    }

    if (rc == NGX_OK) {
        rc = ngx_cred_connector_set(pool, &connector, NGX_CRED_SETTING_PURGE,
                                    post, 2, &err);
    }

    if (rc == NGX_OK) {
        rc = ngx_cred_connector_set(pool, &connector, NGX_CRED_SETTING_HEADER,
                                    header, 2, &err);
    }

    if (rc == NGX_OK) {
        ngx_str_set(&header[0], "X-Secret");
        rc = ngx_cred_connector_secret_header(pool, &connector, &header[0],
                                              &secret, &err);
    }

    if (rc == NGX_OK) {
        rc = ngx_cred_webhook_secret(pool, &connector, &secret, &err);
    }

    if (rc == NGX_OK) {
        rc = ngx_cred_connector_preset(pool, &connector, &name, &err);
    }

    if (rc == NGX_OK) {
        rc = ngx_cred_template_fill(pool, &connector.body, values, &out, &err);
    }

    if (rc == NGX_OK) {
        rc = ngx_cred_webhook_sign(pool, &connector, values, 1, &out, &path);
    }

    *failed = unit_memory(-1);

    ngx_destroy_pool(pool);

    return rc;
}


static ngx_int_t
test_twice(ngx_int_t n, ngx_uint_t *failed)
{
    ngx_int_t             rc;
    ngx_str_t             err, args[2];
    ngx_pool_t           *pool;
    ngx_cred_connector_t  connector;

    ngx_str_set(&args[0], "404");
    ngx_str_set(&args[1], "20");

    ngx_memzero(&connector, sizeof(ngx_cred_connector_t));

    pool = ngx_create_pool(NGX_MIN_POOL_SIZE, &unit_log);

    (void) ngx_cred_connector_init(pool, &connector);

    unit_memory(n);

    rc = ngx_cred_connector_set(pool, &connector, NGX_CRED_SETTING_GONE, args,
                                2, &err);

    *failed = unit_memory(-1);

    if (rc == NGX_ERROR && err.len) {
        rc = NGX_ABORT;
    }

    ngx_destroy_pool(pool);

    return rc;
}


static void
test_memory(void)
{
    ngx_int_t   n, rc;
    ngx_uint_t  failed, wrong;

    failed = 1;
    wrong = 0;

    for (n = 0; failed && n < 500; n++) {
        rc = test_once(n, &failed);
        wrong += (rc != (failed ? NGX_ERROR : NGX_OK));
    }

    unit_ok(!failed && n > 20 && wrong == 0, "no memory, %d times: %d wrong",
            (int) n, (int) wrong);

    failed = 1;
    wrong = 0;

    for (n = 0; failed && n < 500; n++) {
        rc = test_twice(n, &failed);
        wrong += (rc != (failed ? NGX_ERROR : NGX_DECLINED));
    }

    unit_ok(!failed && wrong == 0, "no memory for an error: %d wrong",
            (int) wrong);
}


int
main(void)
{
    unit_start();

    test_names();
    test_requests();
    test_demands();
    test_segments();
    test_said();
    test_others();
    test_secrets();
    test_sign();
    json_set_alloc_funcs(unit_malloc, free);
    test_memory();

    return unit_done();
}
