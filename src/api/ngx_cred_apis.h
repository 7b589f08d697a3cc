
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The documented APIs, a line for each ngx_cred_api_t of this folder; each file
 * that includes this says by NGX_CRED_API() what it makes of them.
 */


NGX_CRED_API(apinizer)
NGX_CRED_API(iam)
NGX_CRED_API(deepset)
NGX_CRED_API(thousandeyes)
NGX_CRED_API(alloy)
