
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* connectors outside of nginx: lines as a configuration has them */


#ifndef _UNIT_CONNECTOR_H_INCLUDED_
#define _UNIT_CONNECTOR_H_INCLUDED_


#include <unit.h>
#include <ngx_cred_connector.h>


ngx_cred_connector_t *connector_new(void);

/*
 * A line: words with spaces between, "'" around those that have some, without
 * the ";".  "preset NAME" and "secret TEXT" as well.  "" or the error.
 */
ngx_str_t *connector_line(ngx_cred_connector_t *connector, const char *line);

/* more of them, separated by "; ", up to the first error */
ngx_str_t *connector_lines(ngx_cred_connector_t *connector, const char *lines);

/* sample values; a target of the form that is demanded */
void connector_values(ngx_cred_connector_t *connector,
    ngx_cred_values_t values);

/*
 * All calls with their values: "METHOD PATH" with a name before, "NAME: VALUE"
 * for headers, then the body, a line each; or the first error.
 */
ngx_str_t *connector_requests(ngx_cred_connector_t *connector,
    ngx_cred_values_t values);

/* the word of what an answer means */
const char *connector_said(ngx_cred_connector_t *connector, ngx_uint_t status,
    const char *body);


#endif /* _UNIT_CONNECTOR_H_INCLUDED_ */
