
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <connector.h>
#include <stdio.h>


#define CONNECTOR_ARGS  16


static ngx_uint_t connector_split(ngx_str_t *line, ngx_str_t *args);
static u_char *connector_call(u_char *p, u_char *last, const char *name,
    ngx_cred_connector_call_t *call, ngx_cred_values_t values,
    ngx_uint_t *failed);
static u_char *connector_fill(u_char *p, u_char *last,
    ngx_cred_template_t *template, ngx_cred_values_t values,
    ngx_uint_t *failed);


ngx_cred_connector_t *
connector_new(void)
{
    ngx_cred_connector_t  *connector;

    connector = ngx_pcalloc(unit_pool, sizeof(ngx_cred_connector_t));

    if (connector == NULL
        || ngx_cred_connector_init(unit_pool, connector) != NGX_OK)
    {
        printf("Bail out! no memory\n");
        exit(2);
    }

    return connector;
}


ngx_str_t *
connector_line(ngx_cred_connector_t *connector, const char *line)
{
    ngx_int_t            rc;
    ngx_str_t           *text, err, args[CONNECTOR_ARGS];
    ngx_uint_t           n;
    ngx_cred_setting_e   setting;

    text = unit_format("%s", line);
    n = connector_split(text, args);

    ngx_str_null(&err);

    if (n == 2 && args[0].len == 6
        && ngx_strncmp(args[0].data, "preset", 6) == 0)
    {
        rc = ngx_cred_connector_preset(unit_pool, connector, &args[1], &err);

    } else if (n == 2 && args[0].len == 6
               && ngx_strncmp(args[0].data, "secret", 6) == 0)
    {
        rc = ngx_cred_webhook_secret(unit_pool, connector, &args[1], &err);

    } else {
        setting = ngx_cred_connector_setting(&args[0]);

        if (setting == NGX_CRED_NSETTINGS) {
            return unit_format("unknown setting");
        }

        rc = ngx_cred_connector_set(unit_pool, connector, setting, &args[1],
                                    n - 1, &err);
    }

    if ((rc == NGX_DECLINED) != (err.len != 0) || rc == NGX_ERROR) {
        return unit_format("%i with the error \"%V\"", rc, &err);
    }

    return unit_format("%V", &err);
}


ngx_str_t *
connector_lines(ngx_cred_connector_t *connector, const char *lines)
{
    char        line[1024];
    size_t      len;
    ngx_str_t  *err;

    for ( ;; ) {

        len = strcspn(lines, ";");

        (void) ngx_cpystrn((u_char *) line, (u_char *) lines, len + 1);

        err = connector_line(connector, line);

        if (err->len || lines[len] == '\0') {
            return err;
        }

        lines += len + 2;
    }
}


static ngx_uint_t
connector_split(ngx_str_t *line, ngx_str_t *args)
{
    u_char      *p, *last, quote;
    ngx_uint_t   n;

    p = line->data;
    last = p + line->len;

    for (n = 0; p < last && n < CONNECTOR_ARGS; n++) {

        quote = ' ';

        if (*p == '\'') {
            quote = *p++;
        }

        args[n].data = p;

        p = ngx_strlchr(p, last, quote);

        if (p == NULL) {
            p = last;
        }

        args[n].len = p - args[n].data;
        args[n] = *unit_bytes((char *) args[n].data, args[n].len);

        p += (quote == ' ') ? 1 : 2;
    }

    return n;
}


void
connector_values(ngx_cred_connector_t *connector, ngx_cred_values_t values)
{
    static const char  *targets[] = {
        "t.1", "550e8400-e29b-41d4-a716-446655440000", "a1b2c3d4"
    };

    values[NGX_CRED_PLACE_API] = *unit_string("apinizer");
    values[NGX_CRED_PLACE_SCOPE] = *unit_string("My Project");
    values[NGX_CRED_PLACE_ID] = *unit_string("api \"user\"");
    values[NGX_CRED_PLACE_REVISION] = *unit_string("17");
    values[NGX_CRED_PLACE_OPERATION] =
                              *unit_string("0123456789abcdef0123456789abcdef");
    values[NGX_CRED_PLACE_ENVIRONMENT] = *unit_string("eu.west");
    values[NGX_CRED_PLACE_TARGET] = *unit_format("%s",
                                                 targets[connector->target]);
}


ngx_str_t *
connector_requests(ngx_cred_connector_t *connector, ngx_cred_values_t values)
{
    u_char                       *p, *last, buf[4096];
    ngx_uint_t                    i, failed;
    ngx_cred_connector_call_t    *purge;
    ngx_cred_connector_header_t  *header;

    failed = 0;

    p = buf;
    last = buf + sizeof(buf);

    p = connector_call(p, last, "match ", &connector->match, values, &failed);
    p = connector_call(p, last, "", &connector->request, values, &failed);
    p = connector_call(p, last, "verify ", &connector->verify, values, &failed);
    p = connector_call(p, last, "control ", &connector->control, values,
                       &failed);

    purge = connector->purges.elts;

    for (i = 0; i < connector->purges.nelts; i++) {
        p = connector_call(p, last, "purge ", &purge[i], values, &failed);
    }

    header = connector->headers.elts;

    for (i = 0; i < connector->headers.nelts && !failed; i++) {
        p = ngx_slprintf(p, last, "%V: ", &header[i].name);
        p = connector_fill(p, last, &header[i].value, values, &failed);
        p = ngx_slprintf(p, last, "\n");
    }

    if (connector->body.parts.nelts && !failed) {
        p = connector_fill(p, last, &connector->body, values, &failed);
        p = ngx_slprintf(p, last, "\n");
    }

    return unit_bytes((char *) buf, p - buf);
}


static u_char *
connector_call(u_char *p, u_char *last, const char *name,
    ngx_cred_connector_call_t *call, ngx_cred_values_t values,
    ngx_uint_t *failed)
{
    if (call->method.len == 0 || *failed) {
        return p;
    }

    p = ngx_slprintf(p, last, "%s%V ", name, &call->method);
    p = connector_fill(p, last, &call->path, values, failed);

    return ngx_slprintf(p, last, "\n");
}


static u_char *
connector_fill(u_char *p, u_char *last, ngx_cred_template_t *template,
    ngx_cred_values_t values, ngx_uint_t *failed)
{
    ngx_str_t  out, err;

    if (ngx_cred_template_fill(unit_pool, template, values, &out, &err)
        != NGX_OK)
    {
        *failed = 1;
        return ngx_slprintf(p, last, "%V", &err);
    }

    return ngx_slprintf(p, last, "%V", &out);
}


const char *
connector_said(ngx_cred_connector_t *connector, ngx_uint_t status,
    const char *body)
{
    ngx_cred_web_response_t  response;

    static const char  *words[] = {
        "success", "superseded", "gone", "maybe", "denied", "later",
        "elsewhere", "other"
    };

    ngx_memzero(&response, sizeof(ngx_cred_web_response_t));

    response.status = status;
    response.body = *unit_format("%s", body);
    response.retry_after = NGX_ERROR;

    return words[ngx_cred_connector_said(connector, &response)];
}
