
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Password files.  The file is so small that it is read rather than compared by
 * its times: those are as coarse as a tick of the kernel, and may be behind on
 * a network's file systems.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


static ngx_int_t ngx_cred_redis_password_read(ngx_str_t *path, ngx_uint_t mode,
    ngx_str_t *text, ngx_cred_net_reading_t *reading);
static void ngx_cred_redis_password_keep(ngx_cred_redis_password_t *password,
    ngx_str_t *text);
static void ngx_cred_redis_password_cleanup(void *data);
static void ngx_cred_redis_password_forget(ngx_cred_redis_t *redis);


static u_char      ngx_cred_redis_password_buffer[NGX_CRED_NET_LINE_LEN + 1];

static ngx_uint_t  ngx_cred_redis_password_version;


ngx_cred_redis_password_t *
ngx_cred_redis_password_create(ngx_pool_t *pool, ngx_str_t *path,
    ngx_err_t *err, const char **before, const char **after)
{
    ngx_str_t                   text;
    ngx_pool_cleanup_t         *cln;
    ngx_cred_net_reading_t      reading;
    ngx_cred_redis_password_t  *password;

    *err = 0;
    *before = "no memory for";
    *after = "";

    password = ngx_pcalloc(pool, sizeof(ngx_cred_redis_password_t));
    if (password == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_cred_redis_password_cleanup;
    cln->data = password;

    password->path = *path;

    if (ngx_cred_redis_password_read(path, 0, &text, &reading) != NGX_OK) {
        *err = reading.err;
        *before = reading.before;
        *after = reading.after;
        return NULL;
    }

    ngx_cred_redis_password_keep(password, &text);

    return password;
}


ngx_str_t *
ngx_cred_redis_password(ngx_cred_redis_password_t *password)
{
    ngx_str_t               text;
    ngx_cred_net_reading_t  reading;

    /* many connections may ask at once */

    if (password->checked_at == ngx_current_msec) {
        return &password->text;
    }

    password->checked_at = ngx_current_msec;

    if (ngx_cred_redis_password_read(&password->path, NGX_FILE_NONBLOCK, &text,
                                     &reading)
        != NGX_OK)
    {
        if (!password->told) {
            password->told = 1;
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, reading.err,
                          "password file: %s \"%V\"%s, the password that was "
                          "read last is used",
                          reading.before, &password->path, reading.after);
        }

        return &password->text;
    }

    if (password->told) {
        password->told = 0;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "password file: \"%V\" can be read again",
                      &password->path);
    }

    if (text.len == password->text.len
        && ngx_memcmp(text.data, password->text.data, text.len) == 0)
    {
        ngx_explicit_memzero(text.data, text.len);
        return &password->text;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "password file: \"%V\" has another password",
                  &password->path);

    ngx_cred_redis_password_keep(password, &text);

    ngx_cred_redis_each(ngx_cred_redis_auth_again);

    return &password->text;
}


ngx_str_t *
ngx_cred_redis_password_path(ngx_cred_redis_password_t *password)
{
    static ngx_str_t  none = ngx_null_string;

    return password ? &password->path : &none;
}


/* "text" is valid until the next reading, and to be wiped */

static ngx_int_t
ngx_cred_redis_password_read(ngx_str_t *path, ngx_uint_t mode, ngx_str_t *text,
    ngx_cred_net_reading_t *reading)
{
    ngx_int_t  rc;

    rc = ngx_cred_net_line(path, mode, ngx_cred_redis_password_buffer, text,
                           reading);

    if (rc == NGX_DECLINED) {
        reading->before = text->len ? "too long password in" : "no password in";
        reading->after = "";
    }

    return rc;
}


static void
ngx_cred_redis_password_keep(ngx_cred_redis_password_t *password,
    ngx_str_t *text)
{
    ngx_explicit_memzero(password->data, NGX_CRED_REDIS_PASSWORD_LEN);

    ngx_memcpy(password->data, text->data, text->len);

    password->text.data = password->data;
    password->text.len = text->len;

    password->version = ++ngx_cred_redis_password_version;

    ngx_explicit_memzero(text->data, text->len);
}


/* with "master_process off" connections outlive their configuration */

static void
ngx_cred_redis_password_cleanup(void *data)
{
    ngx_cred_redis_password_t *password = data;

    ngx_explicit_memzero(password->data, NGX_CRED_REDIS_PASSWORD_LEN);

    password->text.len = 0;
    password->version = 0;

    ngx_cred_redis_each(ngx_cred_redis_password_forget);
}


static void
ngx_cred_redis_password_forget(ngx_cred_redis_t *redis)
{
    if (redis->conf.password && redis->conf.password->version == 0) {
        redis->conf.password = NULL;
    }
}
