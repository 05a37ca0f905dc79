/* net/web_password.h: passwords against bcrypt hashes, by libxcrypt. */
#pragma once

#include <stdbool.h>

#include "base/str.h"

/* "$2a$10$" and the like, 53 characters, a cost of 4 to 31. */
bool web_password_is_hash(struct str text);
/* Takes as long as the hash's cost says, tens of milliseconds or more: not on an event loop. A
 * password with a NUL fits nothing. */
bool web_password_fits(struct str password, struct str hash);
