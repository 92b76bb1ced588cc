/* `roto-train character`: from a folder of shots to a finished model and a report, in one command. */

#ifndef ROTO_TRAIN_CHARACTER_H
#define ROTO_TRAIN_CHARACTER_H

/* argv[0] is the name shown in the help text.  Returns the process's exit status. */
int character_main(int argc, char **argv);

#endif
