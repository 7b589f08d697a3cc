
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Presets: lines as they could be in the configuration, and what must not be
 * lost of them when the configuration has others.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_connector_read.h>


#define NGX_CRED_PRESET_ARGS  2


typedef struct {
    ngx_cred_setting_e          setting;
    ngx_uint_t                  n;
    ngx_str_t                   args[NGX_CRED_PRESET_ARGS];
} ngx_cred_preset_line_t;


typedef struct {
    ngx_str_t                   name;
    ngx_cred_preset_line_t     *lines;

    ngx_str_t                   path;      /* the request must have in it */
    ngx_str_t                   of;        /* with that in its path ... */
    ngx_str_t                   body;      /* ... it must have that in the body;
                                              or all empty */

    unsigned                    target:1;  /* the path must have "{target}" */
    unsigned                    either:1;  /* or the body */
    unsigned                    segments:1;  /* values of paths: without "/" */
    unsigned                    hidden:1;  /* "webhook", not "preset" */
    unsigned                    control:1; /* there must be a "control" */
} ngx_cred_preset_t;


static ngx_cred_preset_t *ngx_cred_preset(ngx_str_t *name);
static ngx_int_t ngx_cred_preset_line(ngx_pool_t *pool,
    ngx_cred_connector_t *connector, ngx_cred_preset_line_t *line,
    ngx_str_t *err);
static ngx_int_t ngx_cred_preset_check(ngx_pool_t *pool,
    ngx_cred_connector_t *connector, ngx_cred_preset_t *preset,
    ngx_str_t *err);
static ngx_uint_t ngx_cred_preset_has(ngx_cred_template_t *template,
    ngx_str_t *text);
static void ngx_cred_preset_segments(ngx_cred_connector_t *connector);


/* a call without a path has that of the request, whoever has set it */

#define ngx_cred_preset_end                                                   \
    { NGX_CRED_NSETTINGS, 0, { ngx_null_string, ngx_null_string } }

#define ngx_cred_preset_1(setting, one)                                       \
    { NGX_CRED_SETTING_##setting, 1,                                          \
      { ngx_string(one), ngx_null_string } }

#define ngx_cred_preset_2(setting, one, two)                                  \
    { NGX_CRED_SETTING_##setting, 2,                                          \
      { ngx_string(one), ngx_string(two) } }


/*
 * A segment that is no UUID would be looked up as the key itself.  The words of
 * a 404 are those of Kong's router, and of another consumer, as well: "verify"
 * finds it whoever has it, and "control" is known to nobody else.
 * Other nodes hear of a delete within five seconds; a cache that has missed the
 * event keeps the credential for ever.
 */

static ngx_cred_preset_line_t  ngx_cred_preset_kong[] = {
    ngx_cred_preset_2(REQUEST, "DELETE",
                      "/consumers/{scope}/key-auth/{target}"),
    ngx_cred_preset_1(TARGET, "uuid"),
    ngx_cred_preset_1(SUCCESS, "204"),
    ngx_cred_preset_2(GONE, "404", "\"message\":\"Not found\""),
    ngx_cred_preset_2(VERIFY, "GET", "/key-auths/{target}"),
    ngx_cred_preset_2(CONTROL, "GET", "/key-auths?size=1"),
    ngx_cred_preset_2(PURGE, "DELETE", "/cache"),
    ngx_cred_preset_1(SETTLE, "10s"),
    ngx_cred_preset_end
};


/*
 * Before 3.11 the same call deletes the consumer, and answers with its key: the
 * consumer has to be there yet.
 */

static ngx_cred_preset_line_t  ngx_cred_preset_apisix[] = {
    ngx_cred_preset_2(REQUEST, "DELETE",
                      "/apisix/admin/consumers/{scope}/credentials/{target}"),
    ngx_cred_preset_2(SUCCESS, "200", "/credentials/"),
    ngx_cred_preset_2(GONE, "404", "\"message\":\"Key not found\""),
    ngx_cred_preset_1(VERIFY, "GET"),
    ngx_cred_preset_2(CONTROL, "GET", "/apisix/admin/consumers/{scope}"),
    ngx_cred_preset_end
};


/*
 * Without "hashed" the name is the key itself.  Gateways keep a session for ten
 * seconds, and five for what is slow.
 */

static ngx_cred_preset_line_t  ngx_cred_preset_tyk[] = {
    ngx_cred_preset_2(REQUEST, "DELETE", "/tyk/keys/{target}?hashed=1"),
    ngx_cred_preset_1(TARGET, "hex"),
    ngx_cred_preset_2(SUCCESS, "200", "\"action\":\"deleted\""),
    ngx_cred_preset_2(GONE, "404", "There is no such key found"),
    ngx_cred_preset_2(GONE, "404", "\"message\":\"Key not found\""),
    ngx_cred_preset_1(VERIFY, "GET"),
    ngx_cred_preset_1(SETTLE, "15s"),
    ngx_cred_preset_end
};


/* "sync": otherwise the revocation of a lease is queued, and may never be */

static ngx_cred_preset_line_t  ngx_cred_preset_vault[] = {
    ngx_cred_preset_2(REQUEST, "POST", "/v1/auth/token/revoke-accessor"),
    ngx_cred_preset_1(BODY, "{\"accessor\":\"{target}\"}"),
    ngx_cred_preset_1(SUCCESS, "204"),
    ngx_cred_preset_2(GONE, "200", "No token found with this accessor"),
    ngx_cred_preset_end
};


/*
 * Without "match" a delete beside it could shift the array between two steps of
 * this one, and the neighbour would go.
 */

static ngx_cred_preset_line_t  ngx_cred_preset_caddy[] = {
    ngx_cred_preset_2(REQUEST, "DELETE", "/id/{target}"),
    ngx_cred_preset_1(MATCH, "GET"),
    ngx_cred_preset_1(SUCCESS, "200"),
    ngx_cred_preset_2(GONE, "404", "unknown object ID"),
    ngx_cred_preset_1(VERIFY, "GET"),
    ngx_cred_preset_end
};


/*
 * The revision keeps what was created again.  A quote that is not escaped is
 * none of a name.
 */

static ngx_cred_preset_line_t  ngx_cred_preset_cred[] = {
    ngx_cred_preset_2(REQUEST, "DELETE",
                      "/apiops/projects/{scope}/credentials/{id}/"),
    ngx_cred_preset_2(HEADER, "Prefer", "wait=3"),
    ngx_cred_preset_2(HEADER, "Cred-Revision", "{revision}"),
    ngx_cred_preset_2(SUCCESS, "200",
                      "\"deploymentResult\":{\"success\":true"),
    ngx_cred_preset_2(SUPERSEDED, "409", "\"conflict\""),
    ngx_cred_preset_2(SUPERSEDED, "200",
                      "\"deploymentResult\":{\"success\":false,"
                      "\"message\":\"A newer deployment stays in "),
    ngx_cred_preset_2(GONE, "400", "was not found!\""),
    ngx_cred_preset_end
};


/* the path is that of the URL; each attempt has the same body */

static ngx_cred_preset_line_t  ngx_cred_preset_webhook[] = {
    ngx_cred_preset_1(BODY,
                      "{\"type\":\"credential.deleted\",\"data\":"
                      "{\"api\":\"{api}\",\"scope\":\"{scope}\","
                      "\"id\":\"{id}\",\"revision\":{revision},"
                      "\"operation\":\"{operation}\","
                      "\"environment\":\"{environment}\"}}"),
    ngx_cred_preset_1(SUCCESS, "2xx"),
    ngx_cred_preset_end
};


static ngx_cred_preset_t  ngx_cred_presets[] = {

    { ngx_string("kong"), ngx_cred_preset_kong,
      ngx_null_string, ngx_null_string, ngx_null_string, 1, 0, 1, 0, 0 },

    { ngx_string("apisix"), ngx_cred_preset_apisix,
      ngx_string("/credentials/"), ngx_null_string, ngx_null_string,
      1, 0, 1, 0, 0 },

    { ngx_string("tyk"), ngx_cred_preset_tyk,
      ngx_string("hashed="), ngx_null_string, ngx_null_string, 1, 0, 1, 0, 1 },

    { ngx_string("vault"), ngx_cred_preset_vault,
      ngx_null_string, ngx_string("leases/revoke"),
      ngx_string("\"sync\":true"), 1, 1, 1, 0, 0 },

    { ngx_string("caddy"), ngx_cred_preset_caddy,
      ngx_null_string, ngx_null_string, ngx_null_string, 1, 0, 1, 0, 0 },

    { ngx_string("cred"), ngx_cred_preset_cred,
      ngx_null_string, ngx_null_string, ngx_null_string, 0, 0, 1, 0, 0 },

    { ngx_string("webhook-internal"), ngx_cred_preset_webhook,
      ngx_null_string, ngx_null_string, ngx_null_string, 0, 0, 0, 1, 0 },

    { ngx_null_string, NULL,
      ngx_null_string, ngx_null_string, ngx_null_string, 0, 0, 0, 0, 0 }
};


ngx_uint_t
ngx_cred_connector_has_preset(ngx_str_t *name)
{
    ngx_cred_preset_t  *preset;

    preset = ngx_cred_preset(name);

    return preset != NULL && !preset->hidden;
}


ngx_int_t
ngx_cred_connector_preset(ngx_pool_t *pool, ngx_cred_connector_t *connector,
    ngx_str_t *name, ngx_str_t *err)
{
    ngx_int_t                rc;
    ngx_str_t                what;
    ngx_uint_t               set;
    ngx_cred_preset_t       *preset;
    ngx_cred_preset_line_t  *line;

    ngx_str_null(err);

    preset = ngx_cred_preset(name);

    if (preset == NULL) {
        return ngx_cred_connector_wrong(pool, err, "unknown preset", name);
    }

    set = connector->set;

    for (line = preset->lines; line->setting != NGX_CRED_NSETTINGS; line++) {

        if (line->setting == NGX_CRED_SETTING_HEADER
            ? ngx_cred_connector_has_header(connector, &line->args[0])
            : ((set >> line->setting) & 1))
        {
            continue;
        }

        rc = ngx_cred_preset_line(pool, connector, line, err);

        connector->set = set;

        if (rc == NGX_DECLINED) {
            what = *err;
            return ngx_cred_connector_error(pool, err, "%V with preset \"%V\"",
                                            &what, name);
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    connector->webhook = preset->hidden;

    if (preset->segments) {
        ngx_cred_preset_segments(connector);
    }

    return ngx_cred_preset_check(pool, connector, preset, err);
}


static ngx_cred_preset_t *
ngx_cred_preset(ngx_str_t *name)
{
    ngx_cred_preset_t  *preset;

    for (preset = ngx_cred_presets; preset->name.len; preset++) {
        if (ngx_cred_connector_is(name, &preset->name)) {
            return preset;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_cred_preset_line(ngx_pool_t *pool, ngx_cred_connector_t *connector,
    ngx_cred_preset_line_t *line, ngx_str_t *err)
{
    ngx_int_t                   rc;
    ngx_cred_connector_call_t  *call;

    if (line->n == 1 && line->setting == NGX_CRED_SETTING_MATCH) {

        rc = ngx_cred_connector_can_match(pool, connector, err);
        if (rc != NGX_OK) {
            return rc;
        }

        call = &connector->match;

    } else if (line->n == 1 && line->setting == NGX_CRED_SETTING_VERIFY) {
        call = &connector->verify;

    } else {
        return ngx_cred_connector_set(pool, connector, line->setting,
                                      line->args, line->n, err);
    }

    call->method = line->args[0];
    call->path = connector->request.path;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_preset_check(ngx_pool_t *pool, ngx_cred_connector_t *connector,
    ngx_cred_preset_t *preset, ngx_str_t *err)
{
    ngx_uint_t               places;
    ngx_cred_preset_line_t  *line;

    places = connector->request.path.places;

    if (preset->either) {
        places |= connector->body.places;
    }

    if (preset->target && !((places >> NGX_CRED_PLACE_TARGET) & 1)) {
        return ngx_cred_connector_error(pool, err,
                           "preset \"%V\" needs \"{target}\" in \"request\"%s",
                           &preset->name,
                           preset->either ? " or \"body\"" : "");
    }

    if (preset->path.len
        && !ngx_cred_preset_has(&connector->request.path, &preset->path))
    {
        return ngx_cred_connector_error(pool, err,
                           "preset \"%V\" needs \"%V\" in \"request\"",
                           &preset->name, &preset->path);
    }

    if (preset->of.len
        && ngx_cred_preset_has(&connector->request.path, &preset->of)
        && !ngx_cred_preset_has(&connector->body, &preset->body))
    {
        return ngx_cred_connector_error(pool, err,
                           "preset \"%V\" needs \"%V\" in \"body\" of such a "
                           "\"request\"", &preset->name, &preset->body);
    }

    if (preset->control && connector->control.method.len == 0) {
        return ngx_cred_connector_error(pool, err,
                           "preset \"%V\" needs a \"control\": what says that "
                           "it is gone is said of a lost database as well",
                           &preset->name);
    }

    if (!((connector->set >> NGX_CRED_SETTING_TARGET) & 1)) {
        return NGX_OK;
    }

    for (line = preset->lines; line->setting != NGX_CRED_NSETTINGS; line++) {
        if (line->setting == NGX_CRED_SETTING_TARGET) {
            return ngx_cred_connector_error(pool, err,
                               "preset \"%V\" has \"target %V\", and needs it",
                               &preset->name, &line->args[0]);
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_cred_preset_has(ngx_cred_template_t *template, ngx_str_t *text)
{
    u_char                    *p;
    ngx_uint_t                 i;
    ngx_cred_template_part_t  *part;

    part = template->parts.elts;

    for (i = 0; i < template->parts.nelts; i++) {

        p = part[i].text.data;

        if (p && ngx_strnstr(p, (char *) text->data, part[i].text.len)) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_cred_preset_segments(ngx_cred_connector_t *connector)
{
    ngx_uint_t                  i;
    ngx_cred_connector_call_t  *call;

    connector->request.path.kind = NGX_CRED_TEMPLATE_SEGMENTS;
    connector->match.path.kind = NGX_CRED_TEMPLATE_SEGMENTS;
    connector->verify.path.kind = NGX_CRED_TEMPLATE_SEGMENTS;
    connector->control.path.kind = NGX_CRED_TEMPLATE_SEGMENTS;

    call = connector->purges.elts;

    for (i = 0; i < connector->purges.nelts; i++) {
        call[i].path.kind = NGX_CRED_TEMPLATE_SEGMENTS;
    }
}
