/* `roto-train augment`: training samples as pictures, for a person to judge, and how fast they are made. */

#ifndef ROTO_AUGMENT_SHEET_H
#define ROTO_AUGMENT_SHEET_H

/* argv[0] is the name shown in the help text.  Returns the process's exit status. */
int augment_main(int argc, char **argv);

#endif
